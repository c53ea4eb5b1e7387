//! A checkpoint small enough to be broken at every bit.

use karenina::model::{Initialisation, Parameters, State};
use karenina::text::batches::Validation;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::{LogRow, RunId, TrainConfig};

/// Two layers of two cells over three characters, with a different value in every field.
pub fn tiny() -> Checkpoint {
    tiny_with(true)
}

/// The same with cells that are normalised or not.
pub fn tiny_with(cell_norm: bool) -> Checkpoint {
    let config = TrainConfig::builder()
        .hidden(2)
        .layers(2)
        .initialisation(Initialisation::TruncatedNormal(0.0625))
        .forget_bias(1.75)
        .input_sd(Some(0.75))
        .batch(3)
        .unroll(5)
        .epochs(7)
        .steps(Some(11))
        .learning_rate(0.5)
        .warm_up(3)
        .descent(Some((5, 9)))
        .weight_decay(0.375)
        .beta1(0.25)
        .beta2(0.75)
        .epsilon(0.125)
        .keep(0.875)
        .clip(f64::INFINITY)
        .save_every(13)
        .save_minutes(Some(2.5))
        .groups(2)
        .cell_norm(cell_norm)
        .validation(Validation::Share(0.375))
        .seed(17)
        .build()
        .unwrap();
    let sizes = config.sizes(3);
    let mut next = 0;
    let mut eighths = || {
        next += 1;
        next as f32 / 8.0
    };
    let mut parameters = Parameters::zeros(sizes);
    parameters.numbers_mut().iter_mut().for_each(|x| *x = -eighths());
    let mut tiny = Checkpoint::without_history(config, Vocabulary::from_text("aж👍"), parameters);
    tiny.run = RunId::new(0x0123_4567_89ab_cdef);
    tiny.choice = "chosen".into();
    tiny.text_sha256 = std::array::from_fn(|i| i as u8);
    tiny.adam.config.learning_rate = 0.4375;
    tiny.adam.m.numbers_mut().iter_mut().for_each(|x| *x = -eighths());
    tiny.adam.v.numbers_mut().iter_mut().for_each(|x| *x = eighths());
    tiny.adam.updates = 4;
    let State { h, c } = &mut tiny.state;
    h.iter_mut().chain(c).flatten().for_each(|x| *x = -eighths());
    (tiny.step, tiny.epoch, tiny.batch) = (5, 1, 1);
    tiny.history = vec![row(1, 1), row(2, 1), row(3, 1), row(5, 2)];
    tiny
}

/// A row of the log of which every number follows from its step.
pub fn row(step: u64, epoch: u64) -> LogRow {
    let x = step as f64;
    let mut row = LogRow::default();
    (row.step, row.epoch) = (step, epoch);
    row.loss = 4.0 / x;
    row.validation = step.is_multiple_of(2).then_some(5.0 / x);
    row.norm = x + 0.1;
    row.learning_rate = 0.4375;
    row.seconds = x / 64.0;
    row
}
