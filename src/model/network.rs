//! One training step's loss and gradients, in two phases.
//!
//! 1. **Rows.** Each [`Shard`] takes its rows forward and back, one rayon task each. Where rows are few, a shard
//!    is worked on by a [`Team`], whose members share the columns of the weights.
//! 2. **Parameters.** Every weight's gradient is a sum over all (time step, row) pairs in a shape
//!    that the configuration fixes: see [`Pieces`].
//!
//! So nothing depends on how many shards, members or threads there are: the bits are the same.

use std::time::{Duration, Instant};

use ndarray::{ArrayView2, s};
use rayon::prelude::*;

use crate::layers::dropout::Dropout;
use crate::math::Real;
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::math::sums::{Pieces, default_groups};
use crate::math::team::Team;
use crate::model::division::Division;
use crate::model::packed::PackedWeights;
use crate::model::parameters::{Parameters, Sizes, State};
use crate::model::shard::Shard;
use crate::model::sums::{ByCharacter, sum_of_losses, sum_over_positions};
use crate::ranks::Shares;

/// A batch's inputs and targets [T, B], and what drops out.
pub(super) type Batch<'a> = (ArrayView2<'a, u32>, ArrayView2<'a, u32>, Option<Dropout>);

/// The memory of a training step, allocated once and reused by every step.
///
/// ```
/// use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
/// use karenina::ndarray::array;
/// use karenina::rand::SeedableRng;
///
/// let sizes = Sizes::new(3, 4, 1);
/// let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(0);
/// let parameters: Parameters<f64> = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
/// let mut gradients = Parameters::zeros(sizes);
/// let mut state = State::zeros(sizes, 2);
///
/// // T = 3 characters and the ones after them, in each of B = 2 rows.
/// let (inputs, targets) = (array![[0, 1], [1, 2], [2, 0]], array![[1, 2], [2, 0], [0, 1]]);
/// let mut network = Network::new(sizes, 2, 3, 1);
/// let (x, y) = (inputs.view(), targets.view());
/// let loss = network.gradients(&mut gradients, &parameters, x, y, &mut state, None);
/// assert!((loss - 3_f64.ln()).abs() < 0.5, "as good as guessing among 3");
/// ```
#[derive(Clone, Debug)]
pub struct Network<R: Real> {
    sizes: Sizes,
    /// B
    batch: usize,
    /// The shape of each sum held here: one run in a single process, several where ranks share the batch.
    runs: Vec<Pieces>,
    packed: PackedWeights<R>,
    /// None before the first gradient.
    transposed: Option<PackedWeights<R>>,
    shards: Vec<Shard<R>>,
    by_character: ByCharacter<R>,
    /// Seconds by phase outside the shards.
    watch: Stopwatch,
}

impl<R: Real> Network<R> {
    /// Memory for batches of B = `batch` rows and T = `unroll` steps. Sums over rows have as many groups as
    /// [`TrainConfig::groups`](crate::train::TrainConfig::groups) has by default.
    ///
    /// * `threads`: among how many a batch is divided. Calls run in the current rayon pool, which should have as many,
    ///   and teams add threads of their own.
    ///
    /// # Panics
    /// Without rows, steps or layers.
    pub fn new(sizes: Sizes, batch: usize, unroll: usize, threads: usize) -> Self {
        let division = Division::new(sizes.hidden, batch, threads);
        Self::divided(sizes, (batch, unroll), default_groups(batch, unroll), division)
    }

    /// [`Network::new`] with so many `groups` and another `division` among threads.
    ///
    /// # Panics
    /// As [`Network::new`], and unless each group has a row.
    #[doc(hidden)]
    pub fn divided(
        sizes: Sizes,
        (batch, unroll): (usize, usize),
        groups: usize,
        division: Division,
    ) -> Self {
        let shares = Shares::new(groups, 1).expect("at least one group");
        Self::on_rank(sizes, (batch, unroll), (shares, 0), division)
    }

    /// [`Network::new`] for one of several ranks, with the rows of its groups alone. The number of groups in all
    /// `shares` changes the last bits of a gradient (see [`Pieces`]), that of ranks, shards and threads does not.
    pub(crate) fn on_rank(
        sizes: Sizes,
        (batch, unroll): (usize, usize),
        (shares, rank): (Shares, usize),
        division: Division,
    ) -> Self {
        assert!(batch > 0 && unroll > 0, "a batch of {batch} rows over {unroll} steps");
        assert!(sizes.layers > 0, "a network without layers");
        let here = Pieces::new(batch, unroll, shares.groups()).held(shares.of(rank));
        let rows = here.rows();
        let height = rows.len().div_ceil(division.shards.clamp(1, rows.len()));
        let shard = |first: usize| {
            let (range, team) =
                (first..(first + height).min(rows.end), Team::new(division.members));
            Shard::new(sizes, range, (batch, unroll), team)
        };
        let shards = rows.clone().step_by(height).map(shard).collect();
        Self {
            sizes,
            batch,
            runs: shares.runs(rank).into_iter().map(|run| here.of_run(run)).collect(),
            packed: PackedWeights::new(sizes, false, R::packed),
            transposed: None,
            shards,
            by_character: ByCharacter::new(sizes, here),
            watch: Stopwatch::default(),
        }
    }

    /// The mean loss in nats over a batch, and its gradient with respect to every parameter.
    ///
    /// * `gradients`: overwritten
    /// * `inputs`, `targets` [T, B]
    /// * `state`: carried on; no gradient flows through it (truncated back-propagation)
    ///
    /// # Panics
    /// As [`Network::loss`], and if the gradients are of other sizes.
    pub fn gradients(
        &mut self,
        gradients: &mut Parameters<R>,
        parameters: &Parameters<R>,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<R>,
        dropout: Option<Dropout>,
    ) -> f64 {
        assert_eq!(gradients.sizes(), self.sizes, "sizes of the gradients and of the network");
        self.propagate(parameters, (inputs, targets, dropout), state);
        for (part, numbers) in gradients.parts_mut().enumerate() {
            self.sum_up(part, 0, numbers);
        }
        self.mean_of(self.losses_of_runs().sum())
    }

    /// Phase one of [`Network::gradients`].
    pub(super) fn propagate(
        &mut self,
        parameters: &Parameters<R>,
        (inputs, targets, dropout): Batch,
        state: &mut State<R>,
    ) {
        self.pack(parameters);
        self.check(inputs, targets, state);
        let scale = R::from_f64(1.0 / inputs.len() as f64);
        let Self { sizes, packed, transposed, shards, watch, .. } = self;
        let transposed =
            transposed.get_or_insert_with(|| PackedWeights::new(*sizes, true, R::packed));
        watch.measure(Phase::Pack, || transposed.pack(parameters));
        side_by_side(shards, watch, |shard| {
            shard.load(inputs, targets, state);
            shard.forward(parameters, packed, dropout);
            shard.backward(transposed, dropout, scale);
        });
        self.store_state(state);
    }

    /// Phase two of [`Network::gradients`]: `numbers`, those of one part of all parameters, ← the sum over one of the
    /// runs that are here.
    pub(crate) fn sum_up(&mut self, part: usize, run: usize, numbers: &mut [R]) {
        let Self { sizes, runs, shards, by_character, watch, .. } = self;
        watch.measure(Phase::ParameterGradients, || {
            sum_over_positions(part, numbers, *sizes, shards, by_character, runs[run]);
        });
    }

    /// [`Prepared::loss`] of a single batch.
    ///
    /// # Panics
    /// As [`Network::prepare`] and [`Prepared::loss`].
    pub fn loss(
        &mut self,
        parameters: &Parameters<R>,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<R>,
        dropout: Option<Dropout>,
    ) -> f64 {
        self.prepare(parameters).loss(inputs, targets, state, dropout)
    }

    /// Lays out `parameters` for the kernels, once for any number of batches. What is returned borrows
    /// both, so the layout is never that of other parameters.
    ///
    /// # Panics
    /// If the parameters are of other sizes.
    pub fn prepare<'a>(&'a mut self, parameters: &'a Parameters<R>) -> Prepared<'a, R> {
        self.pack(parameters);
        Prepared { network: self, parameters }
    }

    fn pack(&mut self, parameters: &Parameters<R>) {
        assert_eq!(parameters.sizes(), self.sizes, "sizes of the parameters and of the network");
        let packed = &mut self.packed;
        self.watch.measure(Phase::Pack, || packed.pack(parameters));
    }

    /// The shards with all intermediate values of the last pass, for those who study them.
    #[doc(hidden)]
    pub fn shards(&self) -> &[Shard<R>] {
        &self.shards
    }

    /// Seconds by phase, summed over the shards, since the network was made.
    pub fn watch(&self) -> Stopwatch {
        let mut sum = self.watch.clone();
        for shard in &self.shards {
            sum.add(&shard.watch);
        }
        sum
    }

    /// Runs `work` and adds its time to `phase`: for the parts of a step outside the network.
    pub(crate) fn measure<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        self.watch.measure(phase, work)
    }

    /// Adds time in which `shards` shards waited for their threads to wake up.
    pub(crate) fn add_waiting(&mut self, time: Duration, shards: usize) {
        self.watch.add_time(Phase::Waiting, time * shards as u32);
    }

    /// Panics unless a batch and a state have the shapes of this network.
    fn check(&self, inputs: ArrayView2<u32>, targets: ArrayView2<u32>, state: &State<R>) {
        let (batch, unroll) = (self.batch, self.unroll());
        let Sizes { vocabulary, hidden, layers, .. } = self.sizes;
        for (name, characters) in [("inputs", inputs), ("targets", targets)] {
            let (t, b) = characters.dim();
            assert!(
                (t, b) == (unroll, batch),
                "{name} [{t}, {b}] for [T, B] = [{unroll}, {batch}]"
            );
            let largest = characters.iter().max().map_or(0, |&id| id as usize);
            assert!(largest < vocabulary, "{name} hold character {largest} of {vocabulary}");
        }
        assert!(
            state.fits(self.sizes, batch),
            "a state of {layers} layers, [B, H] = [{batch}, {hidden}]"
        );
    }

    /// The gradient of the last batch's mean loss with respect to the state before it (Eq. B21).
    pub fn state_gradient(&self) -> State<R> {
        let batch = self.shards.iter().map(|shard| shard.range.len()).sum();
        let mut d_state = State::zeros(self.sizes, batch);
        for shard in &self.shards {
            for (l, layer) in shard.layers.iter().enumerate() {
                let rows = s![shard.range.clone(), ..];
                d_state.h[l].slice_mut(rows).assign(&layer.carry.dh); // Eq. B21
                d_state.c[l].slice_mut(rows).assign(&layer.carry.dc); // Eq. B21
            }
        }
        d_state
    }

    /// Collects the state from the shards.
    fn store_state(&self, state: &mut State<R>) {
        for shard in &self.shards {
            shard.store_state(state);
        }
    }

    /// The sums of all positions' losses, of each run that is here.
    pub(crate) fn losses_of_runs(&self) -> impl Iterator<Item = f64> {
        self.runs.iter().map(|&run| sum_of_losses(&self.shards, run))
    }

    /// The mean of losses with this sum over the whole batch (Eq. F12).
    pub(crate) fn mean_of(&self, sum: f64) -> f64 {
        sum / (self.batch * self.unroll()) as f64 // Eq. F12
    }

    /// T
    fn unroll(&self) -> usize {
        self.runs[0].batch_and_unroll().1
    }

    /// The network's sizes.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }
}

/// A [`Network`] with the parameters that its kernels' layout holds.
#[derive(Debug)]
pub struct Prepared<'a, R: Real> {
    pub(super) network: &'a mut Network<R>,
    parameters: &'a Parameters<R>,
}

impl<R: Real> Prepared<'_, R> {
    /// The mean loss in nats over a batch, without gradients.
    ///
    /// * `inputs`, `targets` [T, B]
    /// * `state`: carried on
    ///
    /// # Panics
    /// If a shape is another, or a character is not in the vocabulary.
    pub fn loss(
        &mut self,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<R>,
        dropout: Option<Dropout>,
    ) -> f64 {
        self.forward((inputs, targets, dropout), state);
        self.network.mean_of(self.network.losses_of_runs().sum())
    }

    /// Takes a batch forward to the loss of every position.
    pub(super) fn forward(&mut self, (inputs, targets, dropout): Batch, state: &mut State<R>) {
        self.network.check(inputs, targets, state);
        let Network { shards, packed, watch, .. } = &mut *self.network;
        side_by_side(shards, watch, |shard| {
            shard.load(inputs, targets, state);
            shard.forward(self.parameters, packed, dropout);
        });
        self.network.store_state(state);
    }

    /// The network's shards.
    pub(crate) fn shards(&self) -> &[Shard<R>] {
        &self.network.shards
    }
}

/// Phase one: `work` on every shard, one task each. All of their time that is not work is waiting.
fn side_by_side<R: Real>(
    shards: &mut [Shard<R>],
    watch: &mut Stopwatch,
    work: impl Fn(&mut Shard<R>) + Sync,
) {
    let start = Instant::now();
    let at_once = shards.len().min(rayon::current_num_threads()) as u32;
    let tasks = shards.par_iter_mut().map(|shard| {
        let start = Instant::now();
        work(shard);
        start.elapsed()
    });
    let busy: Duration = tasks.sum();
    watch.add_time(Phase::Waiting, (start.elapsed() * at_once).saturating_sub(busy));
}
