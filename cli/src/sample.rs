//! `karenina sample`.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use karenina::error::{Error, Result};
use karenina::memory;
use karenina::sample::{Generator, Picker};
use karenina::study::report::sample;
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::Checkpoint;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::input::{self, ModelArg};
use super::job::ThreadsArg;
use super::output::{count, note, output_error};
use super::settings::WeightsArg;

/// Arguments of `karenina sample`.
#[derive(Args)]
pub struct Sample {
    #[command(flatten)]
    model: ModelArg,
    /// A phrase that the network reads before it writes
    #[arg(long, value_name = "PHRASE", allow_hyphen_values = true, conflicts_with = "prime_file")]
    prime: Option<String>,
    /// A text file that the network reads before it writes
    #[arg(long, value_name = "TEXT")]
    prime_file: Option<PathBuf>,
    /// Encoding of that file, such as windows-1251 [default: UTF-8]
    #[arg(long, value_name = "NAME", requires = "prime_file")]
    encoding: Option<String>,
    /// Characters to write
    #[arg(long, value_name = "N", default_value_t = 1000)]
    length: usize,
    /// Texts to write
    #[arg(long, value_name = "N", default_value_t = 1)]
    samples: usize,
    #[command(flatten)]
    picker: PickerArgs,
    /// Stop once this has been written
    #[arg(long, value_name = "PHRASE", allow_hyphen_values = true)]
    stop: Option<String>,
    #[command(flatten)]
    weights: WeightsArg,
    /// Skip characters of the prime that the network does not know
    #[arg(long)]
    skip_unknown: bool,
    /// Seed of the random draws [default: a different one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[command(flatten)]
    threads: ThreadsArg,
}

/// The arguments that make a [`Picker`].
#[derive(Args)]
pub struct PickerArgs {
    /// Draw only from the N most probable characters; 0 means from all
    #[arg(long, value_name = "N", default_value_t = Picker::default().top_n)]
    top_n: usize,
    /// Draw only from the most probable characters that together reach this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Divides the logits: below 1 the likeliest characters gain, above 1 the rarer ones; 0 always
    /// takes the likeliest
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    temperature: f64,
}

impl PickerArgs {
    fn picker(&self) -> Result<Picker> {
        let Self { top_n, top_p, temperature } = *self;
        let picker = Picker::default();
        let picker = picker.with_top_n(top_n).with_top_p(top_p).with_temperature(temperature);
        picker.validate()?;
        Ok(picker)
    }
}

impl Sample {
    /// Streams the text to standard output.
    pub fn run(self) -> Result<ExitCode> {
        let picker = self.picker.picker()?;
        Error::require(self.samples > 0, "--samples", 0, "at least 1")?;
        let checkpoint = self.model.load()?;
        let vocabulary = checkpoint.vocabulary;
        let prime = self.prime(&vocabulary)?;
        let rows = self.rows();
        memory::require(
            Generator::<f32>::bytes(checkpoint.parameters.sizes(), rows),
            format!("writing {} at once", count(rows, "text")),
        )?;
        let threads = self.threads.count()?;
        let generator = |rows: usize| {
            Generator::stored_in(&checkpoint.parameters, rows, self.weights.weights)
                .map(|generator| generator.on_threads(threads))
        };
        let seed = self.seed.unwrap_or_else(seed_from_clock);
        let mut writer = Writer {
            out: io::stdout().lock(),
            vocabulary: &vocabulary,
            picker,
            prime,
            model: &self.model,
            length: self.length,
            stop: self.stop.filter(|stop| !stop.is_empty()),
            samples: self.samples,
            seed,
        };
        let mut round = generator(rows)?;
        for first in (0..self.samples).step_by(rows) {
            if self.samples - first < rows {
                drop(round); // before the next is made: there may be no memory for both
                round = generator(self.samples - first)?;
            }
            round.reset();
            writer.read(&mut round);
            writer.write(&mut round, first)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Texts to write side by side: more at once are no faster, and none of them can be printed before
    /// the first one of the round is complete.
    fn rows(&self) -> usize {
        /// Rows from which on the processor is busy.
        const ENOUGH: usize = 256;
        /// Bytes of text that may wait to be printed.
        const WAITING: usize = 64 << 20;
        let longest = self.length.saturating_mul(char::MAX.len_utf8()).max(1);
        self.samples.min(ENOUGH).min(WAITING / longest).max(1)
    }

    /// What the network reads, in terms of its `vocabulary`; may be empty.
    fn prime(&self, vocabulary: &Vocabulary) -> Result<Corpus> {
        let prime = match &self.prime_file {
            None => Corpus::from_text(self.prime.as_deref().unwrap_or("")),
            Some(file) => input::read_text(slice::from_ref(file), self.encoding.as_deref())?,
        };
        if !self.skip_unknown {
            return prime.in_terms_of(vocabulary);
        }
        let all = prime.len();
        let known = prime.restricted_to(vocabulary)?;
        let unknown = all - known.len();
        if unknown > 0 {
            note(&format!(
                "{unknown} of {} of the prime are unknown, and are left out",
                count(all, "character")
            ));
        }
        Ok(known)
    }
}

/// What is read where there is no prime, since something must be read before something can be written: a line break,
/// with which most texts begin anew.
fn beginning(vocabulary: &Vocabulary) -> u32 {
    vocabulary.id('\n').unwrap_or(0)
}

fn seed_from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// What is written, and until when.
struct Writer<'a, W> {
    out: W,
    vocabulary: &'a Vocabulary,
    picker: Picker,
    /// In terms of the vocabulary.
    prime: Corpus,
    /// Where the network comes from.
    model: &'a ModelArg,
    /// Characters of each text.
    length: usize,
    /// Not empty.
    stop: Option<String>,
    /// All texts, of every round.
    samples: usize,
    /// Seed of the first text; each has its own, so a text is the same whatever their number.
    seed: u64,
}

impl<W: Write> Writer<'_, W> {
    /// Has the generator read the prime.
    fn read(&self, generator: &mut Generator<f32>) {
        if self.prime.is_empty() {
            generator.read(&[beginning(self.vocabulary)]);
        }
        for id in self.prime.ids().iter() {
            generator.read(&[id]);
        }
    }

    /// As many texts as the generator has rows, from number `first` on.
    fn write(&mut self, generator: &mut Generator<f32>, first: usize) -> Result<()> {
        match generator.logits().nrows() {
            1 => self.stream(generator, first),
            _ => self.batch(generator, first),
        }
    }

    /// One text, each character printed as soon as it is drawn.
    fn stream(&mut self, generator: &mut Generator<f32>, number: usize) -> Result<()> {
        let mut rng = self.rng(number);
        let mut end = String::new();
        self.begin(number)?;
        for _ in 0..self.length {
            let id = self.draw(generator, 0, &mut rng)?;
            let character = self.vocabulary.character(id);
            self.print(character)?;
            if self.is_complete_with(character, &mut end) {
                break;
            }
            generator.step(&[id]);
        }
        self.print('\n')
    }

    /// Several texts side by side, printed one after the other when all are complete.
    fn batch(&mut self, generator: &mut Generator<f32>, first: usize) -> Result<()> {
        let rows = generator.logits().nrows();
        let mut rngs: Vec<_> = (first..first + rows).map(|number| self.rng(number)).collect();
        let mut texts = vec![String::new(); rows];
        let mut ids = vec![0; rows];
        for _ in 0..self.length {
            for row in 0..rows {
                ids[row] = self.draw(generator, row, &mut rngs[row])?;
                if !self.is_complete(&texts[row]) {
                    texts[row].push(self.vocabulary.character(ids[row]));
                }
            }
            if texts.iter().all(|text| self.is_complete(text)) {
                break;
            }
            generator.step(&ids);
        }
        for (number, text) in (first..).zip(&texts) {
            self.begin(number)?;
            self.print(format_args!("{text}\n"))?;
        }
        Ok(())
    }

    /// What stands before a text's own characters.
    fn begin(&mut self, number: usize) -> Result<()> {
        if self.samples > 1 {
            self.print(format!("--- {} of {}\n", number + 1, self.samples))?;
        }
        let mut prime = self.prime.characters();
        prime.try_for_each(|character| write!(self.out, "{character}")).map_err(output_error)
    }

    /// Passes `text` on at once.
    fn print(&mut self, text: impl Display) -> Result<()> {
        write!(self.out, "{text}").and_then(|()| self.out.flush()).map_err(output_error)
    }

    /// The next character of a row.
    fn draw(&self, generator: &Generator<f32>, row: usize, rng: &mut Pcg64) -> Result<u32> {
        let logits = generator.logits();
        let wrong = logits.row(row).into_iter().find(|logit| !logit.is_finite());
        self.model.require_finite("a logit", wrong.copied().unwrap_or(0.0).into())?;
        Ok(self.picker.pick(logits.row(row), rng))
    }

    fn rng(&self, number: usize) -> Pcg64 {
        Pcg64::seed_from_u64(self.seed.wrapping_add(number as u64))
    }

    fn is_complete(&self, text: &str) -> bool {
        self.stop.as_deref().is_some_and(|stop| text.ends_with(stop))
    }

    /// [`Writer::is_complete`] of a text of any length, of which no more than the `end` is kept.
    fn is_complete_with(&self, next: char, end: &mut String) -> bool {
        let Some(stop) = &self.stop else { return false };
        end.push(next);
        while end.len() > stop.len() {
            end.remove(0);
        }
        end == stop
    }
}

/// Keeps closer to the likeliest characters than `karenina sample` does by default, to show which words the
/// network has learnt.
const GLANCE: Picker = Picker::ARTICLE.with_temperature(0.5);

/// A short text for the training screen: `length` characters that the network of `checkpoint` writes; if there is no
/// memory for that any more, why there is none.
pub fn short_sample(checkpoint: &Checkpoint, length: usize) -> String {
    match memory::require(Generator::<f32>::bytes(checkpoint.sizes(), 1), "writing a sample") {
        Ok(()) => sample(checkpoint, length, GLANCE, checkpoint.step).text.trim().into(),
        Err(error) => format!("({error})"),
    }
}

#[cfg(test)]
mod tests {
    use karenina::model::{Initialisation, Parameters, Sizes};

    use super::*;

    /// What was written, and how much of it at most before it was passed on.
    #[derive(Default)]
    struct Passed {
        written: Vec<u8>,
        passed: usize,
        most: usize,
    }

    impl Write for Passed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.extend_from_slice(bytes);
            self.most = self.most.max(self.written.len() - self.passed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.passed = self.written.len();
            Ok(())
        }
    }

    #[test]
    fn a_text_is_passed_on_character_by_character() {
        let vocabulary = Vocabulary::from_text("aж😀");
        let sizes = Sizes::new(3, 4, 1);
        let mut rng = Pcg64::seed_from_u64(0);
        let parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
        let mut generator = Generator::new(&parameters, 1);
        let mut writer = Writer {
            out: Passed::default(),
            vocabulary: &vocabulary,
            picker: Picker::default(),
            prime: Corpus::default(),
            model: &ModelArg { run: "run".into() },
            length: 1000,
            stop: None,
            samples: 1,
            seed: 0,
        };
        writer.read(&mut generator);
        writer.write(&mut generator, 0).unwrap();
        let Passed { written, passed, most } = writer.out;
        let text = String::from_utf8(written).unwrap();
        assert_eq!((text.chars().count(), most), (1001, '😀'.len_utf8()));
        assert_eq!(passed, text.len());
    }
}
