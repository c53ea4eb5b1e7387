//! Throughput in the unit that is meant: criterion calls whatever is counted "elem".

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};

/// Criterion with wall time, as always, and a throughput of `Throughput::Elements` in `unit`, of which each has
/// `size` elements: `per_second("GFLOP/s", 1e9)`.
pub fn per_second(unit: &'static str, size: f64) -> Criterion<Rate> {
    Criterion::default().with_measurement(Rate { unit, size })
}

/// See [`per_second`].
pub struct Rate {
    unit: &'static str,
    size: f64,
}

impl Measurement for Rate {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Rate {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let Throughput::Elements(elements) = throughput else {
            return WallTime.formatter().scale_throughputs(typical, throughput, values);
        };
        for value in values {
            *value = *elements as f64 / (*value * 1e-9) / self.size; // it came in nanoseconds
        }
        self.unit
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
