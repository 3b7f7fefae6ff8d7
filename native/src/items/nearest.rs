//! The valid word a typo was probably meant to be.

/// The candidate with the fewest edits, if about half of its letters would stay; the first of equals.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let best = candidates.iter().map(|c| (edits(&word, c), *c)).min_by_key(|(n, _)| *n)?;
    (best.0 * 2 <= best.1.chars().count() + 1).then_some(best.1)
}

/// `; did you mean "price"?`, or nothing.
pub fn hint(word: &str, candidates: &[&str]) -> String {
    nearest(word, candidates).map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default()
}

/// A name as it may appear in a message: a client can send any length.
pub fn shown(name: &str) -> String {
    let mut out: String = name.chars().take(64).collect();
    if out.len() < name.len() {
        out.push('…');
    }
    out
}

/// Levenshtein distance.
fn edits(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        let words = ["price", "title", "brand"];
        assert_eq!(nearest("prise", &words), Some("price"));
        assert_eq!(nearest("Brnad", &words), Some("brand"));
        assert_eq!(nearest("zzzzzzzz", &words), None);
        assert_eq!(nearest("", &words), None);
        assert_eq!(hint("titel", &words), "; did you mean \"title\"?");
        assert_eq!(hint("xx", &words), "");
        assert_eq!(shown("ab"), "ab");
        assert_eq!(shown(&"é".repeat(65)), "é".repeat(64) + "…");
    }
}
