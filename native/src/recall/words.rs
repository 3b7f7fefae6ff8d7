//! Text as words to search by: lower case, without accents, cut at whatever is neither letter nor digit.
//!
//! Compatibility forms are unfolded first (Unicode NFKD), so that ﬁ is fi and a full-width letter a letter. Scripts that
//! put no spaces between words (Han, Hiragana, Katakana) give one word per character. Invariant: a word is not empty, has
//! at most `WORD_BYTES_MAX` bytes, and the words of a word are itself. It does not know which text matters.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Longer words are cut.
pub const WORD_BYTES_MAX: usize = 64;

/// Calls `emit` with each word of the text in order; `word` is room for one. True when the text ends inside the last word.
pub fn each_word(text: &str, word: &mut String, emit: &mut impl FnMut(&str)) -> bool {
    word.clear();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            emit(word);
            word.clear();
        }
    };
    let mut open = false;
    for c in text.chars() {
        open = true;
        if c.is_ascii_alphanumeric() {
            push(word, c.to_ascii_lowercase());
        } else if c == '\'' || c == '\u{2019}' {
            // Men's is mens, l'eau is leau: in titles people write them both ways.
        } else if c.is_ascii() || !(c.is_alphanumeric() || is_combining_mark(c)) {
            end(word);
            open = false;
        } else if is_word_alone(c) {
            end(word);
            push(word, c);
            end(word);
        } else if ('\u{ac00}'..='\u{d7a3}').contains(&c) {
            // Korean syllables stay whole: unfolded they would be letters that nobody types alone.
            push(word, c);
        } else {
            decompose_compatible(c, |part| {
                if is_word_alone(part) {
                    end(word);
                    push(word, part);
                    end(word);
                } else {
                    fold(part, word);
                }
            });
        }
    }
    end(word);
    open
}

fn fold(c: char, word: &mut String) {
    for c in c.to_lowercase() {
        let written = match c {
            'ß' => "ss",
            'æ' => "ae",
            'œ' => "oe",
            'þ' => "th",
            'ø' => "o",
            'đ' | 'ð' => "d",
            'ł' => "l",
            'ı' => "i",
            'ς' => "σ",
            // Accents, and the vowel points of Hebrew and Arabic, which few people type.
            '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'..='\u{5c7}' | '\u{64b}'..='\u{652}' => "",
            c if c.is_alphanumeric() || is_combining_mark(c) => {
                push(word, c);
                ""
            }
            _ => "",
        };
        written.chars().for_each(|c| push(word, c));
    }
}

fn push(word: &mut String, c: char) {
    if word.len() + c.len_utf8() <= WORD_BYTES_MAX {
        word.push(c);
    }
}

/// Kana and Han; the marks of prolonged and repeated sounds belong to them.
fn is_word_alone(c: char) -> bool {
    matches!(c, '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut list = Vec::new();
        each_word(text, &mut String::new(), &mut |w| list.push(w.to_owned()));
        list
    }

    #[test]
    fn words_are_folded() {
        let cases: [(&str, &[&str]); 14] = [
            ("Red  Running-Shoes, size 42!", &["red", "running", "shoes", "size", "42"]),
            ("Crème BRÛLÉE", &["creme", "brulee"]),
            ("cre\u{300}me", &["creme"]),
            ("Straße, Øre, Łódź, Œuvre", &["strasse", "ore", "lodz", "oeuvre"]),
            ("men's l\u{2019}eau", &["mens", "leau"]),
            ("ﬁne Ｆｕｌｌ ①", &["fine", "full", "1"]),
            ("İstanbul ıssız", &["istanbul", "issiz"]),
            ("Ёлка МОЛОКО", &["елка", "молоко"]),
            ("ΟΔΟΣ Οδός", &["οδοσ", "οδοσ"]),
            ("東京タワー ramen", &["東", "京", "タ", "ワ", "ー", "ramen"]),
            ("한국어 신발", &["한국어", "신발"]),
            ("हिन्दी किताब", &["हिन्दी", "किताब"]),
            ("מַיִם مَاء", &["מים", "ماء"]),
            (" \u{0}—🎧—™ ", &[]),
        ];
        for (text, wanted) in cases {
            assert_eq!(words(text), wanted, "{text}");
            for word in wanted {
                assert_eq!(words(word), [*word], "a word of words is itself");
            }
        }
    }

    #[test]
    fn a_long_word_is_cut_between_characters() {
        assert_eq!(words(&"é".repeat(500)), ["e".repeat(64)]);
        assert_eq!(words(&"я".repeat(500)), ["я".repeat(32)]);
    }

    #[test]
    fn a_text_says_whether_its_last_word_may_go_on() {
        let open = |text| each_word(text, &mut String::new(), &mut |_| {});
        assert!(open("red sho"));
        assert!(!open("red shoe "));
        assert!(!open("shoe!"));
        assert!(!open(""));
    }
}
