//! Checks every gradient of a small network against finite differences, in both precisions.
//!
//! `cargo run --example 02_gradient_check`

use karenina::math::Real;
use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::study::gradcheck::{Problem, check, default_epsilon};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// The text "happy families" in ids: the place of each character in " aefhilmpsy".
const TEXT: [u32; 14] = [4, 1, 8, 8, 10, 0, 3, 1, 7, 5, 6, 5, 2, 9];

fn main() {
    let sizes = Sizes::new(11, 5, 2);
    let mut rng = Pcg64::seed_from_u64(0);
    let parameters: Parameters<f64> = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    show(parameters.cast::<f32>());
    show(parameters);
}

fn show<R: Real>(parameters: Parameters<R>) {
    let epsilon = default_epsilon::<R>();
    println!("\nin {}, step {epsilon:.1e}", R::NAME);
    println!("{:<14}{:>10}  {:>9}  {:>9}  verdict", "tensor", "shape", "error", "tolerance");
    // B = 3 rows of T = 4 characters; keep 1, so no dropout; seed 0 for the state.
    let problem = Problem::on_text(parameters, &TEXT, (3, 4), 1.0, 0).expect("a text long enough");
    for tensor in check(&problem, epsilon, None) {
        println!(
            "{:<14}{:>10}  {:>9.1e}  {:>9.1e}  {:?}",
            tensor.name,
            format!("{:?}", tensor.shape),
            tensor.relative_error(),
            tensor.tolerance(),
            tensor.verdict(),
        );
    }
}
