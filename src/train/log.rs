//! One row per step: the run's history, in memory, in checkpoints and as `log.csv`.

use std::fmt;

/// One line of the log: what the run's history keeps of a step.
///
/// Displayed as a line of `log.csv` without its end. Each number is the shortest that reads back as
/// itself, so equal rows are equal bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogRow {
    /// Steps made so far, this one included.
    pub step: u64,
    /// Pass through the text, from 1.
    pub epoch: u64,
    /// Mean training loss of the batch in nats per character.
    pub loss: f64,
    /// Mean loss over the validation tail in nats per character, where it was evaluated.
    pub validation: Option<f64>,
    /// Global norm of the gradients before clipping.
    pub norm: f64,
    /// Adam's α.
    pub learning_rate: f64,
    /// Wall time of the step, in seconds.
    pub seconds: f64,
}

impl LogRow {
    /// The first line of `log.csv`.
    pub const HEADER: &'static str =
        "step,epoch,train_loss,validation_loss,norm,learning_rate,seconds";

    /// All of `log.csv` for this history.
    pub fn table(history: &[Self]) -> String {
        let lines = history.iter().map(|row| format!("{row}\n"));
        std::iter::once(format!("{}\n", Self::HEADER)).chain(lines).collect()
    }
}

impl fmt::Display for LogRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, epoch, loss, validation, norm, learning_rate, seconds } = self;
        write!(f, "{step},{epoch},{loss},")?;
        if let Some(validation) = validation {
            write!(f, "{validation}")?;
        }
        write!(f, ",{norm},{learning_rate},{seconds}")
    }
}
