//! A text as numbers: the ids of its characters, as small as they can be stored.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::memory;

/// The ids of a text's characters, each in one, two or four bytes: the fewest that hold them all.
///
/// A clone shares the numbers, so a text is in memory once however many parts of the program read it.
///
/// ```
/// use karenina::text::ids::Ids;
///
/// let ids: Ids = [2, 0, 255].into_iter().collect();
/// assert_eq!((ids.len(), ids.bytes(), ids.at(2)), (3, 3, 255));
/// let mut row = [9; 4];
/// ids.read(1, &mut row);
/// assert_eq!(row, [0, 255, 2, 0]);
/// ```
#[derive(Clone, Default)]
pub struct Ids(Arc<Numbers>);

/// Ids in the smallest type that holds them.
#[derive(Clone, Debug)]
pub(super) enum Numbers {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
}

/// `$body` with the vector of `$numbers` as `$ids`, whatever its type.
macro_rules! with {
    ($numbers:expr, $ids:ident => $body:expr) => {
        match $numbers {
            Numbers::One($ids) => $body,
            Numbers::Two($ids) => $body,
            Numbers::Four($ids) => $body,
        }
    };
}

impl Ids {
    /// Number of characters.
    pub fn len(&self) -> usize {
        with!(&*self.0, ids => ids.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> u64 {
        with!(&*self.0, ids => size_of_val(&ids[..]) as u64)
    }

    /// The id at `place`.
    ///
    /// # Panics
    /// If the text is not so long.
    pub fn at(&self, place: usize) -> u32 {
        with!(&*self.0, ids => ids[place] as _)
    }

    /// All ids from first to last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator {
        (0..self.len()).map(|place| self.at(place))
    }

    /// Writes to `row` the ids from `place` on; after the text's last one comes its first again, as in
    /// a ring.
    ///
    /// # Panics
    /// If the text is not so long.
    pub fn read<'a>(&self, place: usize, row: impl IntoIterator<Item = &'a mut u32>) {
        with!(&*self.0, ids => {
            for (to, &id) in row.into_iter().zip(ids[place..].iter().chain(ids)) {
                *to = id as _;
            }
        });
    }

    /// The ids that `table` gives for these; those for which it has none are left out. Done in place if
    /// nobody shares the numbers and the new ids take as many bytes each.
    ///
    /// * `largest`: no id in the table is larger
    pub(super) fn translate(self, table: &[Option<u32>], largest: usize) -> Result<Self> {
        let mut numbers = match Arc::try_unwrap(self.0) {
            Ok(numbers) if numbers.width() == width(largest) => numbers,
            Ok(numbers) => return Self(Arc::new(numbers)).translated_copy(table, largest),
            Err(shared) => return Self(shared).translated_copy(table, largest),
        };
        with!(&mut numbers, ids => ids.retain_mut(|id| {
            let new = table[*id as usize];
            *id = new.unwrap_or(0) as _; // it fits, as `largest` does
            new.is_some()
        }));
        Ok(numbers.into())
    }

    fn translated_copy(&self, table: &[Option<u32>], largest: usize) -> Result<Self> {
        let mut copy = Numbers::of_width(width(largest));
        copy.reserve(self.len())?;
        for new in self.iter().filter_map(|id| table[id as usize]) {
            copy.push(new)?;
        }
        Ok(copy.into())
    }
}

/// Bytes that ids up to `largest` take each.
fn width(largest: usize) -> usize {
    match largest {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

fn has_room<T>(ids: &Vec<T>) -> bool {
    ids.len() < ids.capacity()
}

impl Numbers {
    fn of_width(width: usize) -> Self {
        match width {
            1 => Self::One(Vec::new()),
            2 => Self::Two(Vec::new()),
            _ => Self::Four(Vec::new()),
        }
    }

    /// Bytes of one id.
    fn width(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Two(_) => 2,
            Self::Four(_) => 4,
        }
    }

    /// Makes room for `more` ids, or for a quarter of those that there are, if that is more.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        with!(self, ids => match ids.capacity() - ids.len() >= more {
            true => Ok(()),
            false => memory::reserve(ids, more.max(ids.len() / 4), "the text"),
        })
    }

    /// Appends `id`. If it does not fit in as many bytes as the others, all are stored in more.
    #[inline]
    pub fn push(&mut self, id: u32) -> Result<()> {
        match self {
            Self::One(ids) if id <= u8::MAX.into() && has_room(ids) => ids.push(id as u8),
            Self::Two(ids) if id <= u16::MAX.into() && has_room(ids) => ids.push(id as u16),
            Self::Four(ids) if has_room(ids) => ids.push(id),
            _ => {
                self.make_room(width(id as usize))?;
                self.push(id)?;
            }
        }
        Ok(())
    }

    /// Makes room for one more id of `width` bytes, in which all are stored if they had fewer.
    #[cold]
    fn make_room(&mut self, width: usize) -> Result<()> {
        if width <= self.width() {
            return self.reserve(1);
        }
        let (room, count) = with!(&*self, ids => (ids.capacity(), ids.len()));
        let mut wider = Self::of_width(width);
        // Room for an id in each byte of a file may be more than its characters need.
        wider.reserve(room.max(count + 1)).or_else(|_| wider.reserve(count + 1))?;
        with!(&*self, ids => ids.iter().try_for_each(|&id| wider.push(id as _)))?;
        *self = wider;
        Ok(())
    }
}

impl From<Numbers> for Ids {
    /// Gives back the room that was not needed.
    fn from(mut numbers: Numbers) -> Self {
        with!(&mut numbers, ids => ids.shrink_to_fit());
        Self(Arc::new(numbers))
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::One(Vec::new())
    }
}

impl FromIterator<u32> for Ids {
    /// # Panics
    /// If they do not fit into memory.
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut numbers = Numbers::default();
        for id in ids {
            numbers.push(id).expect("memory for the ids");
        }
        numbers.into()
    }
}

impl PartialEq for Ids {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Ids {}

impl fmt::Debug for Ids {
    /// How many there are and how they are stored: all of them would fill screens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ids of {} bytes", self.len(), self.0.width())
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn ids_take_the_fewest_bytes_that_hold_them_all() {
        for (largest, bytes) in [(0xff, 1), (0x100, 2), (0xffff, 2), (0x1_0000, 4), (u32::MAX, 4)] {
            let ids: Ids = [7, largest, 0].into_iter().collect();
            assert_eq!(ids.bytes(), 3 * bytes, "{largest:#x}");
            assert!(ids.iter().eq([7, largest, 0]));
        }
    }

    #[test]
    fn a_clone_shares_the_numbers_and_a_translation_leaves_the_other_as_it_was() {
        let ids: Ids = [0, 1, 2, 1].into_iter().collect();
        let table = [Some(300), None, Some(0)];
        let translated = ids.clone().translate(&table, 300).unwrap();
        assert!(translated.iter().eq([300, 0]));
        assert_eq!(translated.bytes(), 4);
        let in_place = ids.clone().translate(&[Some(2), Some(1), Some(0)], 2).unwrap();
        assert!(in_place.iter().eq([2, 1, 0, 1]) && ids.iter().eq([0, 1, 2, 1]));
    }
}
