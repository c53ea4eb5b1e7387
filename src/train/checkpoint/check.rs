//! Everything that must hold in a record before memory is given to it.

use super::record::{Head, ROW, Record};
use super::tensors;
use crate::math::Real;
use crate::model::Sizes;
use crate::optim::adam::AdamConfig;
use crate::train::TrainConfig;

type Check<T> = Result<T, String>;

/// Fails with the reason that `why` gives unless `holds`.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check<()> {
    if holds { Ok(()) } else { Err(format!("damaged: {}", why())) }
}

/// Proves a record, one that was read as much as one that is to be written, of a payload of `length` bytes; or the
/// first thing that is wrong with it.
pub fn record(record: &Record<'_>, length: u64) -> Check<(Sizes, TrainConfig)> {
    let (sizes, config) = head(&record.head, length)?;
    tensor_shapes(record, sizes)?;
    tensor_numbers(record, sizes)?;
    Ok((sizes, config))
}

/// Proves the head of a payload of `length` bytes; or the first thing that is wrong with it.
pub fn head(head: &Head<'_>, length: u64) -> Check<(Sizes, TrainConfig)> {
    let sizes = sizes(head, length)?;
    vocabulary(&head.vocabulary, sizes.vocabulary)?;
    let config = head.config.config(sizes, head.added);
    let config = config.ok_or("damaged: its configuration has a choice that does not exist")?;
    config.validate().map_err(|error| format!("damaged: {error}"))?;
    adam(head.adam.config(head.added))?;
    progress(head)?;
    history(head)?;
    Ok((sizes, config))
}

/// Sizes that cannot overflow: each is bounded by what the file has room for.
fn sizes(head: &Head<'_>, length: u64) -> Check<Sizes> {
    let [vocabulary, hidden, layers] = head.sizes;
    ensure(vocabulary >= 1 && hidden >= 1 && layers >= 1, || "a size is zero".into())?;
    let most = TrainConfig::MAX_LAYERS as u64;
    ensure(layers <= most, || format!("{layers} layers, at most {most} are allowed"))?;
    let room = length / 4; // numbers
    ensure(vocabulary <= room && hidden <= room / 4, || {
        format!("{hidden} cells for {vocabulary} characters do not fit into {length} bytes")
    })?;
    let cell_norm = head.added.cell_norm;
    ensure(cell_norm <= 1, || format!("{cell_norm} where 1 normalises the cells and 0 does not"))?;
    // They fit: a payload is in memory, or what it is made of.
    let sizes = Sizes::new(vocabulary as usize, hidden as usize, layers as usize);
    Ok(sizes.with_cell_norm(cell_norm == 1))
}

fn vocabulary(characters: &str, count: usize) -> Check<()> {
    let rising = characters.chars().zip(characters.chars().skip(1)).all(|(a, b)| a < b);
    ensure(rising, || "its vocabulary is not sorted or not distinct".into())?;
    let found = characters.chars().count();
    ensure(found == count, || format!("its vocabulary has {found} characters instead of {count}"))
}

fn adam(config: AdamConfig) -> Check<()> {
    let AdamConfig { learning_rate, beta1, beta2, epsilon, .. } = config;
    let decays = [beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta));
    let rates = [learning_rate, epsilon].iter().all(|x| x.is_finite() && *x >= 0.0);
    ensure(decays && rates, || "a constant of Adam is out of range".into())
}

/// step = epoch · n + batch for the n batches of a pass, whatever n is; only skipped steps make no update.
fn progress(head: &Head<'_>) -> Check<()> {
    let &Head { step, epoch, batch, updates, .. } = head;
    let whole = step.checked_sub(batch);
    let consistent = whole.is_some_and(|whole| match epoch {
        0 => whole == 0,
        _ => whole % epoch == 0 && whole / epoch > batch,
    });
    ensure(consistent && updates <= step, || {
        format!(
            "step {step}, epoch {epoch}, batch {batch} and {updates} updates contradict each other"
        )
    })
}

fn history(head: &Head<'_>) -> Check<()> {
    let bytes = head.history.0.len();
    let (count, odd) = (bytes / ROW, bytes % ROW);
    ensure(odd == 0 && count as u64 == head.updates, || {
        format!("its history has {count} rows for {} updates", head.updates)
    })?;
    let (mut step, mut epoch) = (0, 1);
    for row in head.rows() {
        let good = row.filter(|row| {
            let finite = [row.loss, row.norm, row.learning_rate, row.seconds];
            row.step > step
                && row.step <= head.step
                && row.epoch >= epoch
                && row.epoch <= head.epoch.saturating_add(1)
                && finite.iter().all(|x| x.is_finite())
                && row.validation.is_none_or(f64::is_finite)
        });
        let row = good.ok_or_else(|| format!("damaged: the history after step {step} is wrong"))?;
        (step, epoch) = (row.step, row.epoch);
    }
    Ok(())
}

fn tensor_shapes(record: &Record<'_>, sizes: Sizes) -> Check<()> {
    let tensors = &record.tensors;
    let expected = tensors::shapes(sizes, record.head.config.batch());
    ensure(tensors.len() == expected.len(), || {
        format!("{} tensors where {} were expected", tensors.len(), expected.len())
    })?;
    for (i, (tensor, shape)) in tensors.iter().zip(expected).enumerate() {
        let name = || tensors::names(sizes).swap_remove(i);
        ensure(tensor.shape == shape, || {
            format!("{} has the shape {:?} instead of {shape:?}", name(), tensor.shape)
        })?;
        let bytes = tensor.numbers.0.len();
        let expected = shape.0.checked_mul(shape.1).and_then(|count| count.checked_mul(4));
        ensure(expected == Some(bytes as u64), || {
            format!("{} has {bytes} bytes for {shape:?} numbers", name())
        })?;
    }
    Ok(())
}

fn tensor_numbers(record: &Record<'_>, sizes: Sizes) -> Check<()> {
    let weights = 3 * sizes.layers + 2;
    let squares = 2 * weights..3 * weights; // Adam's v
    for (i, tensor) in record.tensors.iter().enumerate() {
        let least = if squares.contains(&i) { 0.0 } else { f32::MIN };
        // One sum instead of a branch for each number: it is what loading spends its time on.
        let wrong =
            tensor.numbers.numbers().filter(|&x| !(Real::is_finite(x) && x >= least)).count();
        ensure(wrong == 0, || {
            let name = tensors::names(sizes).swap_remove(i);
            format!("{name} holds {wrong} values that are infinite, NaN or below zero")
        })?;
    }
    Ok(())
}
