//! Level 3 of the code: text from a trained network, one character at a time.

use ndarray::{ArrayView1, ArrayView2, Axis};
use rand::Rng;

use crate::error::{Error, Result};
use crate::math::Real;
use crate::math::matmul::{Packed, Storage};
use crate::math::team::Team;
use crate::memory;
use crate::model::{Division, Network, PackedWeights, Parameters, Shard, Sizes, State};

/// How the next character is drawn from the network's probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Picker {
    /// Only the n most probable characters are drawn; 0 means all. Default 5, the article's.
    pub top_n: usize,
    /// Only the most probable characters that together reach this probability are drawn
    /// (Holtzman et al., arXiv 1904.09751). Default 1: all.
    pub top_p: f64,
    /// Divides the logits: below 1 the likeliest characters gain, above 1 the rarer ones; 0 always takes the
    /// likeliest, the one with the smallest id among equals. Default 1.
    pub temperature: f64,
}

impl Default for Picker {
    fn default() -> Self {
        Self::ARTICLE
    }
}

impl Picker {
    /// The article's choice, which is the default.
    pub const ARTICLE: Self = Self { top_n: 5, top_p: 1.0, temperature: 1.0 };

    /// This picker with another [`Picker::top_n`].
    pub const fn with_top_n(self, top_n: usize) -> Self {
        Self { top_n, ..self }
    }

    /// This picker with another [`Picker::top_p`].
    pub const fn with_top_p(self, top_p: f64) -> Self {
        Self { top_p, ..self }
    }

    /// This picker with another [`Picker::temperature`].
    pub const fn with_temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let (p, t) = (self.top_p, self.temperature);
        Error::require(p > 0.0 && p <= 1.0, "top_p", p, "above 0 and at most 1")?;
        // A logit divided by less may be infinite.
        let holds = t == 0.0 || (1e-6..=f64::MAX).contains(&t);
        Error::require(holds, "temperature", t, "0 or a finite number of at least 1e-6")
    }

    /// Draws a character's id: softmax at the temperature, all but the top n set to zero, the rest
    /// scaled back to a sum of one — the article's `pick_top_n`. Temperature 0 draws no random number.
    ///
    /// # Panics
    /// If V is 0: `logits` are `[V]`.
    pub fn pick<R: Real>(&self, logits: ArrayView1<R>, rng: &mut impl Rng) -> u32 {
        if self.temperature == 0.0 {
            return likeliest(logits);
        }
        let kept = self.kept(logits);
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.random::<f64>() * total;
        for (id, weight) in &kept {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        kept[kept.len() - 1].0 // rounding may leave a last crumb
    }

    /// The characters among which [`Picker::pick`] draws and the probability of each, the likeliest first.
    ///
    /// # Panics
    /// If V is 0: `logits` are `[V]`.
    ///
    /// ```
    /// use karenina::ndarray::array;
    /// use karenina::sample::Picker;
    ///
    /// let picker = Picker::default().with_top_n(2);
    /// let candidates = picker.candidates(array![0.0_f64, 3_f64.ln(), -1.0].view());
    /// assert_eq!((candidates[0].0, candidates[1].0), (1, 0));
    /// assert!((candidates[0].1 - 0.75).abs() < 1e-15);
    /// ```
    pub fn candidates<R: Real>(&self, logits: ArrayView1<R>) -> Vec<(u32, f64)> {
        if self.temperature == 0.0 {
            return vec![(likeliest(logits), 1.0)];
        }
        let kept = self.kept(logits);
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        kept.into_iter().map(|(id, weight)| (id, weight / total)).collect()
    }

    /// What the top n and the top p keep, the likeliest first, each with its weight e^(l − max), where l is the logit at
    /// the temperature, which is not 0.
    fn kept<R: Real>(&self, logits: ArrayView1<R>) -> Vec<(u32, f64)> {
        let mut ranked: Vec<(u32, f64)> =
            (0..).zip(logits).map(|(id, l)| (id, l.to_f64() / self.temperature)).collect();
        // Among equals the smaller id comes first, so the order is the same everywhere.
        let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if (1..ranked.len()).contains(&self.top_n) {
            ranked.select_nth_unstable_by(self.top_n, order);
            ranked.truncate(self.top_n);
        }
        ranked.sort_unstable_by(order);
        let max = ranked[0].1;
        ranked.iter_mut().for_each(|(_, l)| *l = libm::exp(*l - max));
        let total: f64 = ranked.iter().map(|(_, weight)| weight).sum();
        let mut reached = 0.0;
        let nucleus = ranked.iter().position(|(_, weight)| {
            reached += weight / total;
            reached >= self.top_p
        });
        ranked.truncate(nucleus.map_or(ranked.len(), |last| last + 1));
        ranked
    }
}

/// The id with the largest logit, the smallest among equals.
fn likeliest<R: Real>(logits: ArrayView1<R>) -> u32 {
    // From the end: of equals `max_by` returns the last.
    let logits = logits.iter().map(|l| l.to_f64()).enumerate().rev();
    logits.max_by(|a, b| a.1.total_cmp(&b.1)).expect("a vocabulary").0 as u32
}

/// A network that reads and writes `rows` texts at once, a character each per step.
///
/// It is the training forward pass with T = 1 and no dropout: the same bits. With weights in a smaller
/// [`Storage`] they are the bits of the network whose parameters are [rounded](Parameters::rounded).
///
/// ```
/// use karenina::model::{Initialisation, Parameters, Sizes};
/// use karenina::rand::SeedableRng;
/// use karenina::sample::{Generator, Picker};
///
/// let sizes = Sizes::new(3, 8, 2);
/// let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(0);
/// let parameters: Parameters<f32> = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
/// let mut generator = Generator::new(&parameters, 1);
/// generator.read(&[0, 2, 1]); // what the text begins with
/// assert_eq!(generator.write(5, Picker::default(), &mut rng).len(), 5);
/// ```
#[derive(Debug)]
pub struct Generator<'a, R: Real> {
    parameters: &'a Parameters<R>,
    packed: PackedWeights<R>,
    state: State<R>,
    /// One step of all rows.
    shard: Shard<R>,
    /// Whether the last step was of the text that is being read.
    has_logits: bool,
}

impl<'a, R: Real> Generator<'a, R> {
    /// Bytes of memory that a generator of `rows` texts takes beside the parameters, at most; `u64::MAX`
    /// for as much and more.
    pub fn bytes(sizes: Sizes, rows: usize) -> u64 {
        let [h, l, rows] = [sizes.hidden, sizes.layers, rows].map(|size| size as f64);
        let state = (2.0 * h * l * rows * size_of::<R>() as f64) as u64;
        let tapes = Network::<R>::tape_bytes(sizes, rows as usize, 1, false);
        memory::sum([Network::<R>::packed_bytes(sizes), tapes, state])
    }

    /// A generator of `rows` texts that has read nothing yet.
    ///
    /// # Panics
    /// If `rows` is 0.
    pub fn new(parameters: &'a Parameters<R>, rows: usize) -> Self {
        Self::packed_in(parameters, rows, R::packed)
    }

    /// The same on up to `threads` threads, the calling one among them, if the network is so wide that reading its
    /// weights takes longer than threads need to meet. The bits stay the same.
    pub fn on_threads(self, threads: usize) -> Self {
        let division = Division::new(self.state.h[0].ncols(), 1, threads);
        Self { shard: self.shard.with_team(Team::new(division.members)), ..self }
    }

    fn packed_in(
        parameters: &'a Parameters<R>,
        rows: usize,
        room: impl Fn(usize, usize) -> R::Packed,
    ) -> Self {
        assert!(rows > 0, "a generator of no texts");
        let sizes = parameters.sizes();
        let mut packed = PackedWeights::new(sizes, false, room);
        packed.pack(parameters);
        let shard = Shard::new(sizes, 0..rows, (rows, 1), Team::new(1));
        let state = State::zeros(sizes, rows);
        Self { parameters, packed, state, shard, has_logits: false }
    }

    /// Reads one character in each row and returns the logits of the next, [rows, V].
    ///
    /// # Panics
    /// Unless there is a character for each row, and in the vocabulary.
    pub fn step(&mut self, characters: &[u32]) -> ArrayView2<'_, R> {
        let (found, rows) = (characters.len(), self.shard.range.len());
        assert!(found == rows, "{found} characters for {rows} rows");
        let characters = ArrayView2::from_shape((1, rows), characters).expect("one row of them");
        self.shard.load(characters, characters, &self.state);
        self.shard.predict(self.parameters, &self.packed, None);
        self.shard.store_state(&mut self.state);
        self.has_logits = true;
        self.logits()
    }

    /// What the network keeps of all that it has read.
    pub fn state(&self) -> &State<R> {
        &self.state
    }

    /// Continues from `state`, as if the text behind it had been read. There are no logits until the next step.
    ///
    /// # Panics
    /// If the state is of another network or another number of rows.
    pub fn set_state(&mut self, state: &State<R>) {
        let (sizes, rows) = (self.parameters.sizes(), self.shard.range.len());
        assert!(state.fits(sizes, rows), "a state of {rows} rows in a network of {sizes:?}");
        self.state.clone_from(state);
        self.has_logits = false;
    }

    /// Forgets everything read so far. There are no logits until the next step.
    pub fn reset(&mut self) {
        self.state.set_zero();
        self.has_logits = false;
    }

    /// Reads `characters` in every row and returns the logits after the last, [rows, V].
    ///
    /// # Panics
    /// If `characters` is empty: no character, no next one.
    pub fn read(&mut self, characters: &[u32]) -> ArrayView2<'_, R> {
        assert!(!characters.is_empty(), "there is nothing to read");
        let rows = self.shard.range.len();
        for &id in characters {
            self.step(&vec![id; rows]);
        }
        self.logits()
    }

    /// Goes on with row 0 by itself: `length` characters, each drawn by `picker` and then read. With several rows all
    /// read the same.
    ///
    /// # Panics
    /// As [`Generator::logits`].
    pub fn write(&mut self, length: usize, picker: Picker, rng: &mut impl Rng) -> Vec<u32> {
        let next = |_| {
            let id = picker.pick(self.logits().row(0), rng);
            self.read(&[id]);
            id
        };
        (0..length).map(next).collect()
    }

    /// The logits after the last character read, [rows, V].
    ///
    /// # Panics
    /// If no character was read since the generator was made, was reset or got another state.
    pub fn logits(&self) -> ArrayView2<'_, R> {
        assert!(self.has_logits, "nothing was read yet");
        self.shard.p.index_axis(Axis(0), 0)
    }
}

impl<'a> Generator<'a, f32> {
    /// [`Generator::new`] with weights stored in another type.
    ///
    /// # Errors
    /// Those of [`Parameters::require_range`].
    ///
    /// # Panics
    /// If `rows` is 0.
    pub fn stored_in(
        parameters: &'a Parameters<f32>,
        rows: usize,
        storage: Storage,
    ) -> Result<Self> {
        parameters.require_range(storage)?;
        Ok(Self::packed_in(parameters, rows, |k, n| Packed::zeros(k, n, storage)))
    }
}
