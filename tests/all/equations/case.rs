//! The problem that the tests share, and everything the engine computes on it.

use karenina::layers::dropout::Dropout;
use karenina::math::sums::default_groups;
use karenina::model::{Division, Network, Parameters, Shard, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use karenina::optim::clip::clip_by_global_norm;
use ndarray::{Array2, Array3, Array4, ArrayView3, Axis, concatenate};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::equations::reference::by_gate;

/// The gates' places in a row of pre-activations.
pub const I: usize = 0;
pub const F: usize = 1;
pub const G: usize = 2;
pub const O: usize = 3;

/// All that one training step starts from.
pub struct Problem {
    pub parameters: Parameters<f64>,
    /// The state before the first step.
    pub state: State<f64>,
    /// [T, B]
    pub inputs: Array2<u32>,
    /// [T, B]
    pub targets: Array2<u32>,
    pub dropout: Option<Dropout>,
    /// Largest global norm.
    pub limit: f64,
    /// Moments and updates before the step.
    pub adam: Adam<f64>,
}

impl Problem {
    /// L = 2, B = 3, T = 4, H = 19, V = 21: all different, H and V beyond one block of 16 and no
    /// multiple of it; nothing is zero; characters repeat; half of the units are dropped; the norm
    /// is above the limit; and Adam has made four updates before.
    pub fn shared() -> Self {
        Self::of(Sizes::new(21, 19, 2))
    }

    /// The same, whose cells are normalised.
    pub fn normalised() -> Self {
        Self::of(Sizes::new(21, 19, 2).with_cell_norm(true))
    }

    fn of(sizes: Sizes) -> Self {
        let dropout = Some(Dropout { keep: 0.5, seed: 23, step: 3 });
        Self::random(sizes, (4, 3), 6, 0.4, dropout)
    }

    /// Numbers by chance: T and B from `positions`, characters read from the first `read` of the
    /// vocabulary, weights in ±`range`.
    pub fn random(
        sizes: Sizes,
        positions: (usize, usize),
        read: u32,
        range: f64,
        dropout: Option<Dropout>,
    ) -> Self {
        let mut rng = Pcg64::seed_from_u64(17);
        let mut parameters = Parameters::zeros(sizes);
        let mut adam = Adam::new(AdamConfig::default(), sizes);
        adam.config.weight_decay = 0.5;
        for tensor in parameters.tensors_mut().chain(adam.m.tensors_mut()) {
            tensor.fill_with(|| rng.random_range(-range..range));
        }
        for tensor in adam.v.tensors_mut() {
            tensor.fill_with(|| rng.random_range(0.01..0.2));
        }
        adam.updates = 4;
        let mut state = State::zeros(sizes, positions.1);
        for array in state.h.iter_mut().chain(&mut state.c) {
            array.mapv_inplace(|_| rng.random_range(-0.9..0.9));
        }
        let mut characters = |v: u32| Array2::from_shape_fn(positions, |_| rng.random_range(0..v));
        let (inputs, targets) = (characters(read), characters(sizes.vocabulary as u32));
        Self { parameters, state, inputs, targets, dropout, limit: 0.25, adam }
    }

    pub fn sizes(&self) -> Sizes {
        self.parameters.sizes()
    }

    /// (T, B)
    pub fn positions(&self) -> (usize, usize) {
        self.inputs.dim()
    }
}

/// One layer's values, put together from the shards.
pub struct EngineLayer {
    /// Activations, [T, B, 4, H].
    pub gates: Array4<f64>,
    /// [T+1, B, H]
    pub c: Array3<f64>,
    /// [T+1, B, H]
    pub h: Array3<f64>,
    /// [T, B, H]
    pub y: Array3<f64>,
    /// [T, B, 4, H]
    pub dz: Array4<f64>,
}

/// What the engine computed in one training step.
pub struct Engine {
    pub layers: Vec<EngineLayer>,
    /// [T, B, V]
    pub p: Array3<f64>,
    /// [T, B]
    pub losses: Array2<f64>,
    pub loss: f64,
    /// [T, B, V]
    pub dlogits: Array3<f64>,
    /// Before clipping.
    pub gradients: Parameters<f64>,
    pub state_gradient: State<f64>,
    pub norm: f64,
    pub clipped: Parameters<f64>,
    /// After the update.
    pub adam: Adam<f64>,
    /// After the update.
    pub parameters: Parameters<f64>,
}

impl Engine {
    /// One training step of `problem` on two shards.
    pub fn run(problem: &Problem) -> Self {
        let sizes = problem.sizes();
        let (unroll, batch) = problem.positions();
        let mut network = Network::divided(
            sizes,
            (batch, unroll),
            default_groups(batch, unroll),
            Division { shards: 2, members: 1 },
        );
        let mut gradients = Parameters::zeros(sizes);
        let (x, y, dropout) = (problem.inputs.view(), problem.targets.view(), problem.dropout);
        let mut parameters = problem.parameters.clone();

        network.loss(&parameters, x, y, &mut problem.state.clone(), dropout);
        let gates: Vec<_> = (0..sizes.layers)
            .map(|l| by_gate(over_shards(&network, |shard| shard.layers[l].lstm.gates.view())))
            .collect();
        let p = over_shards(&network, |shard| shard.p.view());

        let state = &mut problem.state.clone();
        let loss = network.gradients(&mut gradients, &parameters, x, y, state, dropout);
        let layers = gates.into_iter().enumerate();
        let layers = layers.map(|(l, gates)| engine_layer(&network, l, gates)).collect();

        let mut clipped = gradients.clone();
        let norm = clip_by_global_norm(&mut clipped, problem.limit);
        let mut adam = problem.adam.clone();
        adam.update(&mut parameters, &clipped);
        Self {
            layers,
            p,
            losses: over_shards(&network, |s| s.losses.view().insert_axis(Axis(2)))
                .index_axis_move(Axis(2), 0),
            loss,
            dlogits: over_shards(&network, |shard| shard.dlogits.view()),
            gradients,
            state_gradient: network.state_gradient(),
            norm,
            clipped,
            adam,
            parameters,
        }
    }
}

fn engine_layer(network: &Network<f64>, l: usize, gates: Array4<f64>) -> EngineLayer {
    EngineLayer {
        gates,
        c: over_shards(network, |shard| shard.layers[l].lstm.c.view()),
        h: over_shards(network, |shard| shard.layers[l].lstm.h.view()),
        y: over_shards(network, |shard| shard.layers[l].y()),
        dz: by_gate(over_shards(network, |shard| shard.layers[l].lstm.dz.view())),
    }
}

/// An array [T, b, N] of every shard as one [T, B, N].
fn over_shards<'a>(
    network: &'a Network<f64>,
    array: impl Fn(&'a Shard<f64>) -> ArrayView3<'a, f64>,
) -> Array3<f64> {
    let parts: Vec<_> = network.shards().iter().map(array).collect();
    let whole = concatenate(Axis(1), &parts).unwrap();
    whole.as_standard_layout().into_owned()
}
