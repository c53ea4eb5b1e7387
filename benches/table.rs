//! What the bench of products prints at the end.

use std::env;

use karenina::math::matmul::Kernel;

/// GFLOP/s of each product, the fastest sample, beside the peak of the same run.
pub struct Table {
    kernel: &'static Kernel,
    /// Whether every line runs only once, to see that it works: then there is nothing to print.
    is_test: bool,
    /// By number of threads.
    peaks: Vec<(usize, f64)>,
    rows: Vec<Row>,
}

struct Row {
    product: String,
    threads: usize,
    /// Of each contestant.
    gflops: Vec<(String, f64)>,
}

impl Table {
    /// An empty one; shares are of the peak of `kernel`.
    pub fn new(kernel: &'static Kernel) -> Self {
        let is_test = env::args().any(|argument| argument == "--test");
        Self { kernel, is_test, peaks: vec![], rows: vec![] }
    }

    /// Adds what `who` reaches at `product`, and looks what the machine could do just now: of the peaks of a run, too,
    /// the best counts.
    pub fn add(&mut self, product: &str, threads: usize, who: &str, gflops: f64) {
        if self.is_test {
            return;
        }
        let peak = self.kernel.peak_gflops(threads);
        match self.peaks.iter_mut().find(|(count, _)| *count == threads) {
            Some((_, best)) => *best = best.max(peak),
            None => self.peaks.push((threads, peak)),
        }
        let row = self.rows.iter_mut().find(|row| row.product == product && row.threads == threads);
        match row {
            Some(row) => row.gflops.push((who.into(), gflops)),
            None => {
                let (product, gflops) = (product.into(), vec![(who.into(), gflops)]);
                self.rows.push(Row { product, threads, gflops });
            }
        }
    }

    fn peak(&self, threads: usize) -> f64 {
        self.peaks.iter().find(|(count, _)| *count == threads).map_or(f64::NAN, |(_, peak)| *peak)
    }

    /// Prints all of it, if there is anything.
    pub fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("The fastest samples in GFLOP/s, and their share of the peak\n");
        for (threads, peak) in &self.peaks {
            let plural = if *threads == 1 { "" } else { "s" };
            println!("peak of {threads} thread{plural}, {}: {peak:.1} GFLOP/s", self.kernel.name());
        }
        let others = ["matrixmultiply", "gemm"];
        let [ours, first, second] = ["ours", others[0], others[1]];
        println!("\n{:<34}threads{ours:>14}{first:>16}{second:>14}  ours / better", "product");
        for row in &self.rows {
            let cell = |who: &str| match row.of(who) {
                Some(gflops) => {
                    let share = 100.0 * gflops / self.peak(row.threads);
                    format!("{gflops:.1} {share:>3.0} %")
                }
                None => String::new(),
            };
            let better = others.iter().filter_map(|who| row.of(who)).reduce(f64::max);
            let ratio = row.of("ours").zip(better).map(|(ours, better)| ours / better);
            let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let [ours, first, second] = [cell("ours"), cell(others[0]), cell(others[1])];
            let Row { product, threads, .. } = row;
            println!("{product:<34}{threads:>7}{ours:>14}{first:>16}{second:>14}{ratio:>15}");
            for (who, _) in &row.gflops {
                if who != "ours" && !others.contains(&who.as_str()) {
                    println!("  {who:<32}{threads:>7}{:>14}", cell(who));
                }
            }
        }
        println!();
    }
}

impl Row {
    fn of(&self, who: &str) -> Option<f64> {
        self.gflops.iter().find(|(name, _)| name == who).map(|(_, gflops)| *gflops)
    }
}
