//! Memory in the kernels' order: aligned to cache lines, B cut into panels.

use ndarray::{ArrayView2, Axis, s};
use rayon::prelude::*;

use super::Element;
use super::kernel::Kernel;

/// A cache line of `f32` (two of `f64`): what a [`Vec`] of them is aligned to.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line<R>([R; 16]);

/// A buffer that starts at a cache line.
#[derive(Clone, Debug, Default)]
pub(super) struct Aligned<R> {
    lines: Vec<Line<R>>,
}

impl<R: Copy> Aligned<R> {
    /// No memory yet.
    pub(super) const fn new() -> Self {
        Self { lines: Vec::new() }
    }

    /// Makes room for `len` numbers at least, the new ones all `fill`; never shrinks.
    pub(super) fn grow(&mut self, len: usize, fill: R) {
        if self.lines.len() * 16 < len {
            self.lines.resize(len.div_ceil(16), Line([fill; 16]));
        }
    }

    /// The whole buffer.
    pub(super) fn as_slice(&self) -> &[R] {
        // SAFETY: a `Line` is 16 numbers and no padding, since 16 numbers of 4 or 8 bytes fill its alignment.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 16) }
    }

    /// The whole buffer.
    pub(super) fn as_mut_slice(&mut self) -> &mut [R] {
        const { assert!(size_of::<Line<R>>() == 16 * size_of::<R>()) };
        // SAFETY: see `as_slice`.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 16)
        }
    }
}

/// A right operand B [K, N], laid out once for the kernels and then shared by all shards and time steps.
///
/// The columns are cut into panels as wide as a register tile; a panel holds its K rows one after
/// the other, so that a kernel reads it from front to back. The last panel is filled up with zeros.
#[derive(Clone, Debug)]
pub struct Packed<R> {
    panels: Aligned<R>,
    rows: usize,
    columns: usize,
    /// Columns of a panel.
    width: usize,
    kernel: &'static Kernel,
}

impl<R: Element> Packed<R> {
    /// Room for a right operand [k, n], all zero.
    pub fn zeros(k: usize, n: usize) -> Self {
        Self::zeros_for(Kernel::best(), k, n)
    }

    /// [`Packed::zeros`] for a kernel other than the best: products with it use that kernel.
    ///
    /// # Panics
    /// If this processor cannot run the kernel.
    pub fn zeros_for(kernel: &'static Kernel, k: usize, n: usize) -> Self {
        assert!(kernel.is_available(), "no {} on this processor", kernel.name());
        let width = R::panel_width(kernel, n);
        let mut panels = Aligned::new();
        panels.grow(n.div_ceil(width) * width * k, R::zero());
        Self { panels, rows: k, columns: n, width, kernel }
    }

    /// Lays out `b` [K, N]; any strides, so a transposed view is packed without a copy between.
    ///
    /// # Panics
    /// If the shape of `b` is another.
    pub fn pack(&mut self, b: ArrayView2<R>) {
        assert_eq!(b.dim(), (self.rows, self.columns), "the shape to pack");
        let (rows, width) = (self.rows, self.width);
        if rows == 0 || self.columns == 0 {
            return;
        }
        let panels = self.panels.as_mut_slice().par_chunks_exact_mut(rows * width);
        // Parallel: panels are apart in memory, and there are dozens of them.
        panels.zip(b.axis_chunks_iter(Axis(1), width)).for_each(|(panel, b)| {
            if b.strides()[1] == 1 || b.ncols() == 1 {
                for (to, from) in panel.chunks_exact_mut(width).zip(b.rows()) {
                    to[..from.len()].copy_from_slice(from.as_slice().expect("unit stride"));
                }
            } else {
                transpose_into(panel, width, b);
            }
        });
    }

    /// K.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// N.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The kernel that the layout is made for.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Panel after panel, each [K, width].
    pub(super) fn panels(&self) -> &[R] {
        self.panels.as_slice()
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// Copies a panel whose columns are contiguous rather than its rows: some rows at a time, so that
/// both the reading and the writing stay within a few cache lines.
fn transpose_into<R: Copy>(panel: &mut [R], width: usize, b: ArrayView2<R>) {
    const AT_ONCE: usize = 16;
    for (block, rows) in panel.chunks_mut(AT_ONCE * width).zip((0..b.nrows()).step_by(AT_ONCE)) {
        let end = b.nrows().min(rows + AT_ONCE);
        for (n, column) in b.slice(s![rows..end, ..]).columns().into_iter().enumerate() {
            for (to, &from) in block[n..].iter_mut().step_by(width).zip(column) {
                *to = from;
            }
        }
    }
}
