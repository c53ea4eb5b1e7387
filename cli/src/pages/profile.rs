//! A profile: the roofline with every phase that multiplies, what each phase takes of a step, and all the numbers.

use indicatif::HumanCount;
use karenina::study::profile::{PhaseProfile, Profile};

use crate::output::{count, layers};

use super::html::{cell, escape, figure, name, page, scrolling, section, table};
use super::roofline::{Point, Roofline};

/// The page about a profile.
pub fn profile(profile: &Profile) -> String {
    let Profile { kernel, threads, sizes, batch, unroll, .. } = profile;
    let header = format!(
        "<h1>Profile of a training step</h1>\n<p>{}, {} characters, batches of {batch} × {unroll}; \
         {}, {} kernel, {}. The fastest of {} took {:.1} ms, the median step {:.1} ms: {} characters a \
         second, {:.1} % of the peak.</p>\n",
        layers(*sizes),
        sizes.vocabulary,
        count(*threads, "thread"),
        escape(kernel),
        escape(&profile.processor),
        count(profile.steps, "step"),
        1e3 * profile.step_seconds,
        1e3 * profile.median_step_seconds,
        HumanCount(profile.characters_per_second as u64),
        100.0 * profile.fraction_of_peak,
    );
    let busy = "<p>The machine was busy: measure again when it is quiet.</p>\n";
    let header = header + if profile.was_disturbed() { busy } else { "" };
    let body = roofline(profile) + &time(profile) + &phases(profile) + &machine(profile);
    let title = format!("Profile of a step, H = {}, {}", sizes.hidden, escape(kernel));
    page(&title, &header, &body)
}

/// Where bytes come from, and 10⁹ of them a second, as far as it was measured.
fn slopes(profile: &Profile) -> Vec<(&'static str, f64)> {
    let bandwidth = profile.bandwidth;
    let mut slopes = vec![
        ("last-level cache", bandwidth.cache_gigabytes_per_second),
        ("memory", bandwidth.memory_gigabytes_per_second),
    ];
    slopes.retain(|&(_, speed)| speed > 0.0);
    slopes
}

fn roofline(profile: &Profile) -> String {
    let points: Vec<_> = profile.phases.iter().filter_map(point).collect();
    let description = describe(profile, &points);
    let picture =
        Roofline { peak: profile.peak_of_rank(), slopes: slopes(profile), points, description };
    let caption = "<b>GFLOP/s against operations for each byte, both logarithmic</b> \
                   <span class=\"key line-1\">forward</span> <span class=\"key line-2\">backward</span> \
                   <span class=\"key line-3\">sums over all positions</span>";
    let note = "The flat part of the roof is the processor’s peak speed of multiply-adds. A slope is the speed at which bytes \
                arrive from memory, or from the last-level cache. Bytes are the least that a phase has to read: every \
                operand of a product once. A phase above a slope finds its bytes closer, in a core’s own cache.";
    let body = scrolling("The roofline", &figure(caption, &picture.to_svg()));
    section("roofline", "Roofline", note, &body)
}

/// A phase's place under the roof, if it multiplies.
fn point(phase: &PhaseProfile) -> Option<Point> {
    let class = match phase.name.as_str() {
        "dW" => "line-3",
        name if name.ends_with("backward") => "line-2",
        _ => "line-1",
    };
    Some(Point {
        name: phase.name.clone(),
        class,
        operations_per_byte: phase.operations_per_byte()?,
        gflops: phase.gflops,
        note: format!("{:.0} %", 100.0 * phase.fraction_of_peak),
    })
}

/// The picture in words.
fn describe(profile: &Profile, points: &[Point]) -> String {
    let roofs = slopes(profile).into_iter().map(|(name, bandwidth)| {
        let ridge = profile.peak_of_rank() / bandwidth;
        format!("{name} gives {bandwidth:.1} GB/s, enough for the peak from {ridge:.1} operations a byte on; ")
    });
    let points = points.iter().map(|point| {
        let Point { name, operations_per_byte, gflops, note, .. } = point;
        format!("{name}: {operations_per_byte:.1} operations a byte, {gflops:.1} GFLOP/s, {note} of the peak; ")
    });
    let all: String = roofs.chain(points).collect();
    format!("The peak is {:.1} GFLOP/s; {}.", profile.peak_of_rank(), all.trim_end_matches("; "))
}

/// Height of a bar with its name.
const BAR: f64 = 24.0;
/// Where bars begin, how long the longest is, and the width of all.
const BARS: (f64, f64, f64) = (142.0, 470.0, 760.0);

/// A bar for each phase, the longest first.
fn time(profile: &Profile) -> String {
    let mut phases: Vec<_> = profile.phases.iter().collect();
    phases.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let longest = phases.first().map_or(1.0, |phase| phase.seconds);
    let (width, height) = (BARS.2, BAR * phases.len() as f64 + 4.0);
    let mut svg = format!(
        "<svg class=\"bars\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"time-name time-words\">\n\
         <title id=\"time-name\">The time of each phase</title>\n<desc id=\"time-words\">{}</desc>\n",
        escape(&phases.iter().map(|phase| in_words(phase)).collect::<Vec<_>>().join("; "))
    );
    for (n, phase) in phases.into_iter().enumerate() {
        svg += &bar(phase, n as f64 * BAR, longest, profile.peak_of_rank());
    }
    let caption = "<b>Milliseconds of a step</b> <span class=\"key line-1\">products, at the peak</span> \
                   <span class=\"key faint\">products, time beyond that</span> \
                   <span class=\"key line-2\">no product</span>";
    let note = "Work that threads do in parallel counts once. At the peak, products would take only the first part of their bars; \
                the rest, and the phases without a product, are what a perfect engine would save.";
    let body = scrolling("The time of each phase", &figure(caption, &(svg + "</svg>")));
    section("time", "Time", note, &body)
}

fn in_words(phase: &PhaseProfile) -> String {
    format!("{} {:.2} ms, {:.1} %", phase.name, 1e3 * phase.seconds, 100.0 * phase.share)
}

fn bar(phase: &PhaseProfile, top: f64, longest: f64, peak: f64) -> String {
    let (left, full, _) = BARS;
    let length = |seconds: f64| (seconds / longest).clamp(0.0, 1.0) * full;
    let (all, middle) = (length(phase.seconds), top + BAR / 2.0 + 4.0);
    let rect = |class: &str, width: f64| {
        let (y, height) = (top + 4.0, BAR - 8.0);
        format!(
            "<rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>"
        )
    };
    let bars = match phase.gflop > 0.0 {
        true => rect("faint", all) + &rect("line-1", length(phase.gflop / peak).min(all)),
        false => rect("line-2", all),
    };
    let (name, text) = (escape(&phase.name), in_words(phase));
    let numbers = text.strip_prefix(&phase.name).unwrap_or(&text).trim_start();
    format!(
        "<text class=\"end\" x=\"{}\" y=\"{middle}\">{name}</text>{bars}<text x=\"{:.1}\" y=\"{middle}\">{numbers}</text>\n",
        left - 8.0,
        left + all + 8.0,
    )
}

/// Calls, ms, share, and of a phase that multiplies GFLOP, GFLOP/s and % of peak.
pub fn figures(phase: &PhaseProfile) -> [String; 6] {
    let of_product = |text: String| if phase.gflop > 0.0 { text } else { String::new() };
    [
        if phase.calls == 0 { String::new() } else { phase.calls.to_string() },
        format!("{:.2}", 1e3 * phase.seconds),
        format!("{:.1} %", 100.0 * phase.share),
        of_product(format!("{:.2}", phase.gflop)),
        of_product(format!("{:.1}", phase.gflops)),
        of_product(format!("{:.1} %", 100.0 * phase.fraction_of_peak)),
    ]
}

fn phases(profile: &Profile) -> String {
    let whole = profile.whole_step();
    let rows = profile.phases.iter().map(|phase| (phase, phase.operations_per_byte()));
    // The operations of a step are those of all ranks, its bytes those of this one.
    let rows = rows.chain([(&whole, None)]).map(|(phase, operations_per_byte)| {
        let bytes =
            operations_per_byte.map(|x| [1e3 * phase.gigabytes, x].map(|x| format!("{x:.1}")));
        let row = name(&escape(&phase.name)) + &figures(phase).map(cell).concat();
        row + &bytes.unwrap_or_default().map(cell).concat()
    });
    let heads = [
        "phase",
        "calls",
        "ms",
        "share",
        "GFLOP",
        "GFLOP/s",
        "% of peak",
        "MB read",
        "operations a byte",
    ];
    let note = "As karenina profile prints them, in the order of a step. MB read: 10⁶ bytes, the least that the products of \
                a phase have to read.";
    table("Phases", note, &heads, rows)
}

fn machine(profile: &Profile) -> String {
    let peak = profile.peak_of_rank();
    let peak_row = name("fused multiply-adds in registers")
        + &cell(format!("{peak:.1} GFLOP/s"))
        + &cell(String::new());
    let slopes = slopes(profile).into_iter().map(|(from, bandwidth)| {
        name(&format!("reading from {from}"))
            + &cell(format!("{bandwidth:.1} GB/s"))
            + &cell(format!("{:.1}", peak / bandwidth))
    });
    let note = match profile.ranks {
        1 => "All threads together. A product that does fewer operations per byte than the number on the right is \
              limited by bandwidth.".into(),
        ranks => format!("One of {ranks} ranks, the first, whose phases these are; all threads together."),
    };
    let heads = ["", "at most", "operations a byte for the peak"];
    table("Machine", &note, &heads, [peak_row].into_iter().chain(slopes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `karenina profile --json` writes it, with a phase that multiplies, one that does not, and what no phase
    /// explains. To measure it would take seconds.
    const MEASURED: &str = r#"{
        "kernel": "AVX2", "threads": 1, "ranks": 1, "exchange": {"seconds": 0.0, "waited": 0.0},
        "sizes": {"vocabulary": 155, "hidden": 8, "layers": 2}, "batch": 4, "unroll": 4, "steps": 1,
        "step_seconds": 1e-4, "median_step_seconds": 1e-4, "step_gflop": 3.6e-4, "gflops": 3.6,
        "peak_gflops": 40.0, "fraction_of_peak": 0.09, "characters_per_second": 160000.0,
        "sample_characters_per_second": 1e6, "sample_characters_per_second_f16": 1e6,
        "sample_characters_per_second_bf16": 1e6, "peak_rss_bytes": null, "clock_share": 0.01,
        "bandwidth": {"cache_bytes": 33554432, "cache_gigabytes_per_second": 50.0, "memory_gigabytes_per_second": 0.0},
        "phases": [
            {"name": "dW", "calls": 1, "seconds": 6e-5, "share": 0.6,
             "gflop": 3.6e-4, "gflops": 6.0, "fraction_of_peak": 0.15, "gigabytes": 1e-5},
            {"name": "Adam", "calls": 1, "seconds": 3e-5, "share": 0.3,
             "gflop": 0.0, "gflops": 0.0, "fraction_of_peak": 0.0, "gigabytes": 0.0},
            {"name": "other", "calls": 0, "seconds": 1e-5, "share": 0.1,
             "gflop": 0.0, "gflops": 0.0, "fraction_of_peak": 0.0, "gigabytes": 0.0}
        ]
    }"#;

    #[test]
    fn a_roof_has_only_the_slopes_that_were_measured() {
        let mut measured: Profile = serde_json::from_str(MEASURED).unwrap();
        let page = profile(&measured);
        assert!(page.contains("last-level cache 50.0 GB/s") && !page.contains("memory 0.0 GB/s"));
        measured.bandwidth.cache_gigabytes_per_second = 0.0;
        let page = profile(&measured);
        assert!(!page.contains("GB/s") && page.contains("class=\"roof\""), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
