//! B [K, N] laid out for a kernel.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::kernel::Kernel;

/// One cache line of numbers: makes the packed memory start on a line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// B [K, N] in blocks of [`Kernel::depth`] rows; within a block, panels of [`Kernel::columns`]
/// columns; within a panel row after row. The last panel is filled up with zeros.
#[derive(Clone, Debug)]
pub struct Panels {
    pub(super) kernel: &'static Kernel,
    k: usize,
    n: usize,
    lines: Vec<Line>,
}

impl Panels {
    /// Room for [k, n], all zero, in the layout of `kernel`.
    pub(super) fn zeros(kernel: &'static Kernel, k: usize, n: usize) -> Self {
        let numbers = k * n.next_multiple_of(kernel.columns);
        Self { kernel, k, n, lines: vec![Line([0.0; LINE]); numbers.div_ceil(LINE)] }
    }

    /// K.
    pub(super) fn rows(&self) -> usize {
        self.k
    }

    /// N.
    pub(super) fn columns(&self) -> usize {
        self.n
    }

    /// Lays out `b`, each block and panel by whichever thread is free.
    pub(super) fn pack(&mut self, b: ArrayView2<f32>) {
        assert_eq!(b.dim(), (self.k, self.n), "B and the room made for it");
        let Kernel { columns, depth, .. } = *self.kernel;
        let (k, n) = (self.k, self.n);
        let padded = n.next_multiple_of(columns);
        self.numbers_mut().par_chunks_mut(depth * padded).enumerate().for_each(
            |(block, packed)| {
                let first_row = block * depth;
                let rows = depth.min(k - first_row);
                packed.par_chunks_mut(rows * columns).enumerate().for_each(|(panel, packed)| {
                    let first = panel * columns;
                    let width = columns.min(n - first);
                    for (row, packed) in packed.chunks_mut(columns).enumerate() {
                        let b = b.row(first_row + row);
                        for (column, packed) in packed[..width].iter_mut().enumerate() {
                            *packed = b[first + column];
                        }
                    }
                });
            },
        );
    }

    /// The block that starts at row `first`: its packed numbers, and how many rows it has.
    pub(super) fn block(&self, first: usize) -> (&[f32], usize) {
        let rows = self.kernel.depth.min(self.k - first);
        let padded = self.n.next_multiple_of(self.kernel.columns);
        (&self.numbers()[first * padded..(first + rows) * padded], rows)
    }

    fn numbers(&self) -> &[f32] {
        // SAFETY: a `Line` is an array of LINE numbers without padding.
        let all = unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE)
        };
        &all[..self.k * self.n.next_multiple_of(self.kernel.columns)]
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        let numbers = self.k * self.n.next_multiple_of(self.kernel.columns);
        // SAFETY: as in `numbers`; and the vector is borrowed for writing.
        let all = unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LINE)
        };
        &mut all[..numbers]
    }
}
