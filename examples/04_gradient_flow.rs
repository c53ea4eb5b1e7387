//! How far back a loss reaches, and what the forget gate's bias has to do with it.
//!
//! `cargo run --example 04_gradient_flow`
//!
//! Along the cell state the gradient is multiplied by the forget gate f = σ(z_f) at each step (Eq. B12),
//! and an untrained network has z_f near its bias: with bias 0 this path alone halves it. The path through
//! h (Eq. B6) adds to it, so the measured factor is larger. With bias −1 or 0 the gradient is still lost
//! after a few characters. With bias 1, where training starts, it comes through. With bias 3 both paths
//! together make it grow.

use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::study::trace::{View, trace};
use rand::SeedableRng;
use rand_pcg::Pcg64;

const TEXT: &str = "Happy families are all alike; every unhappy family";
const BIASES: [f64; 4] = [-1.0, 0.0, 1.0, 3.0];

fn main() {
    let mut vocabulary: Vec<char> = TEXT.chars().collect();
    vocabulary.sort_unstable();
    vocabulary.dedup();
    let id = |c| vocabulary.binary_search(&c).expect("a character of the text") as u32;
    let ids: Vec<u32> = TEXT.chars().map(id).collect();

    let reaches = BIASES.map(|bias| {
        let parameters = network(vocabulary.len(), bias);
        trace(&parameters, &vocabulary, &ids, View::default()).expect("a text long enough").reach
    });
    println!("‖∂loss_T / ∂c_(T−k)‖ with the forget gate's bias at");
    println!("{:>3} {:>5}{}", "k", "read", BIASES.map(|bias| format!("{bias:>11}")).concat());
    for lag in (0..ids.len() - 1).step_by(4) {
        let row = reaches.each_ref().map(|reach| format!("{:>11.2e}", reach[lag].dc[0]));
        println!("{lag:>3} {:>5}{}", reaches[0][lag].character, row.concat());
    }
    println!("\nmean factor from step to step");
    for (bias, reach) in BIASES.iter().zip(&reaches) {
        let last = &reach[reach.len() - 1];
        let factor = (last.dc[0] / reach[0].dc[0]).powf(1.0 / last.lag as f64);
        let forget = 1.0 / (1.0 + (-bias).exp());
        println!("  {factor:.3} with bias {bias}, where σ({bias}) = {forget:.3}");
    }
}

/// One layer as training starts it, but for the forget gate's bias.
fn network(vocabulary: usize, forget_bias: f64) -> Parameters<f64> {
    let sizes = Sizes::new(vocabulary, 32, 1);
    let mut rng = Pcg64::seed_from_u64(0);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    parameters.set_forget_bias(forget_bias);
    parameters
}
