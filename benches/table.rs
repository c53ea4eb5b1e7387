//! What the bench of products prints at the end.

use karenina::math::matmul::Kernel;
use rayon::ThreadPool;

use crate::mode::is_test;

/// With whom ours is compared.
const OTHERS: [&str; 2] = ["matrixmultiply", "gemm"];

/// GFLOP/s of each product, alternating, beside the peak of the same run.
pub struct Table {
    kernel: &'static Kernel,
    /// By number of threads.
    peaks: Vec<(usize, f64)>,
    rows: Vec<Row>,
}

struct Row {
    product: String,
    threads: usize,
    /// Of each contestant, turn after turn.
    gflops: Vec<(String, Vec<f64>)>,
}

impl Table {
    /// An empty one; shares are of the peak of `kernel`.
    pub fn new(kernel: &'static Kernel) -> Self {
        Self { kernel, peaks: vec![], rows: vec![] }
    }

    /// How many turns a product has. Other programs disturb some of them.
    pub fn turns(&self) -> usize {
        if is_test() { 1 } else { 15 }
    }

    /// Adds what `who` reaches at `product` in a turn.
    pub fn add(&mut self, product: &str, threads: usize, who: &str, gflops: f64) {
        let is_it = |row: &Row| row.product == product && row.threads == threads;
        let at = self.rows.iter().position(is_it).unwrap_or_else(|| {
            self.rows.push(Row { product: product.into(), threads, gflops: vec![] });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at].gflops;
        match row.iter_mut().find(|(name, _)| name == who) {
            Some((_, turns)) => turns.push(gflops),
            None => row.push((who.into(), vec![gflops])),
        }
    }

    /// Looks what the machine could do just now: of the peaks of a run, too, the best counts.
    pub fn look_at_the_peak(&mut self, pool: &ThreadPool) {
        if is_test() {
            return;
        }
        let (peak, threads) = (self.kernel.peak_gflops(pool), pool.current_num_threads());
        match self.peaks.iter_mut().find(|(count, _)| *count == threads) {
            Some((_, best)) => *best = best.max(peak),
            None => self.peaks.push((threads, peak)),
        }
    }

    fn peak(&self, threads: usize) -> f64 {
        self.peaks.iter().find(|(count, _)| *count == threads).map_or(f64::NAN, |(_, peak)| *peak)
    }

    /// Prints all of it, if there is anything.
    pub fn print(&self) {
        if is_test() || self.rows.is_empty() {
            return;
        }
        println!("The fastest turns in GFLOP/s, and their share of the peak\n");
        for (threads, peak) in &self.peaks {
            let plural = if *threads == 1 { "" } else { "s" };
            println!("peak of {threads} thread{plural}, {}: {peak:.1} GFLOP/s", self.kernel.name());
        }
        let [ours, first, second] = ["ours", OTHERS[0], OTHERS[1]];
        println!("\n{:<34}threads{ours:>14}{first:>16}{second:>14}  ours / better", "product");
        for row in &self.rows {
            let cell = |who: &str| match row.fastest(who) {
                Some(gflops) => {
                    let share = 100.0 * gflops / self.peak(row.threads);
                    format!("{gflops:.1} {share:>3.0} %")
                }
                None => String::new(),
            };
            let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let [ours, first, second] = [cell("ours"), cell(OTHERS[0]), cell(OTHERS[1])];
            let Row { product, threads, .. } = row;
            println!("{product:<34}{threads:>7}{ours:>14}{first:>16}{second:>14}{ratio:>15}");
            for (who, _) in &row.gflops {
                if who != "ours" && !OTHERS.contains(&who.as_str()) {
                    println!("  {who:<32}{threads:>7}{:>14}", cell(who));
                }
            }
        }
        println!();
    }
}

impl Row {
    fn of(&self, who: &str) -> Option<&[f64]> {
        self.gflops.iter().find(|(name, _)| name == who).map(|(_, turns)| turns.as_slice())
    }

    fn fastest(&self, who: &str) -> Option<f64> {
        Some(self.of(who)?.iter().copied().fold(0.0, f64::max))
    }

    /// How many times as fast ours is as the better of the others, in the median turn: a turn is short, and who
    /// disturbs the machine disturbs all who have theirs just then.
    fn ratio(&self) -> Option<f64> {
        let (ours, [first, second]) = (self.of("ours")?, OTHERS.map(|who| self.of(who)));
        let (first, second) = (first?, second?);
        let turns = ours.iter().zip(first.iter().zip(second));
        let mut ratios: Vec<f64> = turns.map(|(ours, (a, b))| ours / a.max(*b)).collect();
        ratios.sort_by(f64::total_cmp);
        Some(ratios[ratios.len() / 2])
    }
}
