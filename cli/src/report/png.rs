//! Images: PNG (ISO/IEC 15948) with a palette, not compressed, as a `data:` address.

use ndarray::Array2;

/// The palette at equal distances: viridis, whose lightness rises evenly, so that it can be read
/// without telling colours apart, printed in grey, and on light and dark ground.
pub const STOPS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// A pixel for each of `values`, 0 to 1.
pub fn data_uri(values: &Array2<f32>) -> String {
    format!("data:image/png;base64,{}", base64(&encode(values)))
}

fn encode(values: &Array2<f32>) -> Vec<u8> {
    let (height, width) = values.dim();
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([8, 3, 0, 0, 0]); // 8 bits, palette, the only compression and filter, not interlaced
    let mut pixels = Vec::with_capacity(height * (width + 1));
    for row in values.rows() {
        pixels.push(0); // no filter
        pixels.extend(row.iter().map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8));
    }
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [
        (b"IHDR", header),
        (b"PLTE", (0..=255).flat_map(colour).collect()),
        (b"IDAT", zlib_stored(&pixels)),
        (b"IEND", vec![]),
    ] {
        chunk(&mut png, kind, &data);
    }
    png
}

/// Entry `index` of the palette.
fn colour(index: u8) -> [u8; 3] {
    let place = f32::from(index) / 255.0 * (STOPS.len() - 1) as f32;
    let stop = (place as usize).min(STOPS.len() - 2);
    let share = place - stop as f32;
    [0, 1, 2].map(|n| {
        let (from, to) = (f32::from(STOPS[stop][n]), f32::from(STOPS[stop + 1][n]));
        (from + share * (to - from)).round() as u8
    })
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let checksum = crc32fast::hash(&png[start..]);
    png.extend(checksum.to_be_bytes());
}

/// RFC 1950 around RFC 1951's stored blocks.
fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut zlib = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        zlib.push(u8::from(blocks.peek().is_none()));
        zlib.extend(length.to_le_bytes());
        zlib.extend((!length).to_le_bytes());
        zlib.extend(block);
    }
    zlib.extend(adler32(data).to_be_bytes());
    zlib
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

/// RFC 4648.
fn base64(data: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for group in data.chunks(3) {
        let bits = (0..3).fold(0, |bits, n| bits << 8 | u32::from(*group.get(n).unwrap_or(&0)));
        for n in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= group.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base64_gives_the_published_answers() {
        for (data, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(data.as_bytes()), text);
        }
    }

    #[test]
    fn adler32_gives_the_published_answer() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn the_palette_runs_from_the_first_stop_to_the_last() {
        assert_eq!((colour(0), colour(255)), (STOPS[0], STOPS[8]));
    }
}
