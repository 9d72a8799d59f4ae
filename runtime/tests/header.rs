//! Images that the first comment of a spec describes.

/// The images that a file's header describes: `size N`, and `at OFFSET: 0a ff "text"`, behind `source NAME` for those after the first.
pub fn images(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut images = vec![("image".to_owned(), Vec::new())];
    for line in text.lines().filter_map(|l| l.strip_prefix("//! ")) {
        let bytes = &mut images.last_mut().expect("there is a first").1;
        if let Some(name) = line.strip_prefix("source ") {
            images.push((name.to_owned(), Vec::new()));
        } else if let Some(size) = line.strip_prefix("size ") {
            bytes.resize(size.parse().expect("`size` has a number"), 0);
        } else if let Some((at, content)) = line.strip_prefix("at ").and_then(|l| l.split_once(": ")) {
            let mut at: usize = at.parse().expect("`at` has a number");
            let mut rest = content.trim();
            while !rest.is_empty() {
                let (piece, next) = match rest.strip_prefix('"') {
                    Some(quoted) => {
                        let (word, next) = quoted.split_once('"').expect("a closing quote");
                        (word.as_bytes().to_vec(), next)
                    }
                    None => {
                        let (hex, next) = rest.split_once(' ').unwrap_or((rest, ""));
                        (vec![u8::from_str_radix(hex, 16).expect("a byte in hexadecimal digits")], next)
                    }
                };
                bytes[at..at + piece.len()].copy_from_slice(&piece);
                at += piece.len();
                rest = next.trim_start();
            }
        }
    }
    images
}
