//! Memory in the kernels' order: aligned to cache lines, B cut into panels.

use std::marker::PhantomData;

use ndarray::{ArrayView2, Axis, LinalgScalar, s};
use rayon::prelude::*;

use super::kernel::Kernel;
use super::stored::Stored;

/// A cache line of 16-bit numbers (two of `f32`, four of `f64`): what a [`Vec`] of them is aligned to.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line<R>([R; LINE]);

/// Numbers in a [`Line`].
const LINE: usize = 32;

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
        if self.lines.len() * LINE < len {
            self.lines.resize(len.div_ceil(LINE), Line([fill; LINE]));
        }
    }

    /// The whole buffer.
    pub(super) fn as_slice(&self) -> &[R] {
        const { assert!(size_of::<Line<R>>() == LINE * size_of::<R>()) };
        // SAFETY: a `Line` is so many numbers and no padding, as just asserted.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE) }
    }

    /// The whole buffer.
    pub(super) fn as_mut_slice(&mut self) -> &mut [R] {
        const { assert!(size_of::<Line<R>>() == LINE * size_of::<R>()) };
        // SAFETY: see `as_slice`.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LINE)
        }
    }
}

/// A right operand B [K, N], laid out once for the kernels and then shared by all shards and time steps.
///
/// The columns are cut into panels as wide as a register tile; a panel holds its K rows one after
/// the other, so that a kernel reads it from front to back. The last panel is filled up with zeros.
///
/// Its numbers may be stored in another type `W` than that of the product, rounded as they are packed:
/// see [`Stored`].
#[derive(Clone, Debug)]
pub struct Packed<R, W = R> {
    panels: Aligned<W>,
    rows: usize,
    columns: usize,
    /// Columns of a panel.
    width: usize,
    kernel: &'static Kernel,
    product: PhantomData<R>,
}

impl<R: LinalgScalar + Stored<R>> Packed<R> {
    /// Room for a right operand [k, n], all zero.
    ///
    /// # Panics
    /// If no memory could ever hold so many numbers.
    pub fn zeros(k: usize, n: usize) -> Self {
        Self::zeros_for(Kernel::best(), k, n)
    }

    /// [`Packed::zeros`] for a kernel other than the best: products with it use that kernel.
    ///
    /// # Panics
    /// As [`Packed::zeros`], and if this processor cannot run the kernel.
    pub fn zeros_for(kernel: &'static Kernel, k: usize, n: usize) -> Self {
        Self::zeros_stored_for(kernel, k, n)
    }
}

impl<R: LinalgScalar + Send + Sync, W: Stored<R>> Packed<R, W> {
    /// [`Packed::zeros`] with the numbers stored in `W`.
    ///
    /// # Panics
    /// As [`Packed::zeros`].
    pub fn zeros_stored(k: usize, n: usize) -> Self {
        Self::zeros_stored_for(Kernel::best(), k, n)
    }

    /// [`Packed::zeros_for`] with the numbers stored in `W`.
    ///
    /// # Panics
    /// As [`Packed::zeros`], and if this processor cannot run the kernel.
    pub fn zeros_stored_for(kernel: &'static Kernel, k: usize, n: usize) -> Self {
        assert!(kernel.is_available(), "no {} on this processor", kernel.name());
        let width = if W::IN_PANELS { kernel.panel } else { n.max(1) };
        let mut panels = Aligned::new();
        let stride = k.checked_mul(width).and_then(|panel| panel.checked_add(LINE));
        let numbers = stride.and_then(|stride| stride.checked_mul(n.div_ceil(width)));
        let numbers = numbers.unwrap_or_else(|| panic!("[{k}, {n}] is more than memory can hold"));
        panels.grow(numbers, W::round(R::zero()));
        Self { panels, rows: k, columns: n, width, kernel, product: PhantomData }
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
        let stride = self.panel_stride();
        let panels = self.panels.as_mut_slice().par_chunks_exact_mut(stride);
        // Parallel: panels are apart in memory, and there are dozens of them.
        panels.zip(b.axis_chunks_iter(Axis(1), width)).for_each(|(panel, b)| {
            let panel = &mut panel[..rows * width];
            if b.strides()[1] == 1 || b.ncols() == 1 {
                for (to, from) in panel.chunks_exact_mut(width).zip(b.rows()) {
                    let from = from.as_slice().expect("unit stride");
                    for (to, &from) in to.iter_mut().zip(from) {
                        *to = W::round(from);
                    }
                }
            } else {
                transpose_into(panel, width, b);
            }
            W::arrange(panel, self.kernel.lanes());
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

    /// Panel after panel, each [K, width] and a gap.
    pub(super) fn panels(&self) -> &[W] {
        self.panels.as_slice()
    }

    /// Numbers from the start of a panel to the start of the next.
    pub(super) fn panel_stride(&self) -> usize {
        panel_stride(self.rows, self.width)
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// A panel of `rows` and a [`Line`]: at a power of two the streams of a tile that takes several panels at
/// once would fall on the same set of the first-level cache.
fn panel_stride(rows: usize, width: usize) -> usize {
    rows * width + LINE
}

/// Copies a panel whose columns are contiguous rather than its rows: some rows at a time, so that
/// both the reading and the writing stay within a few cache lines.
#[inline(never)] // inlined it was compiled to 540 instead of 390 µs for 512x2048 transposed
fn transpose_into<R: Copy, W: Stored<R>>(panel: &mut [W], width: usize, b: ArrayView2<R>) {
    const AT_ONCE: usize = 16;
    for (block, rows) in panel.chunks_mut(AT_ONCE * width).zip((0..b.nrows()).step_by(AT_ONCE)) {
        let end = b.nrows().min(rows + AT_ONCE);
        for (n, column) in b.slice(s![rows..end, ..]).columns().into_iter().enumerate() {
            for (to, &from) in block[n..].iter_mut().step_by(width).zip(column) {
                *to = W::round(from);
            }
        }
    }
}
