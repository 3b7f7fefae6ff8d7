//! A notification that a surface decided to send, so that the next ones can be counted against it.
//!
//! Invariant: a body that is cut is an error. Whether the notification arrived is not known here.

use crate::codec::{put_i64, put_opt_str, put_str, Reader};
use crate::error::Result;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent<'a> {
    pub user_id: Option<&'a str>,
    pub session_id: &'a str,
    pub surface: &'a str,
    /// Of the decision, which says what was listed.
    pub request_id: &'a str,
    pub as_of_ms: i64,
    /// What was held against the threshold.
    pub score: f32,
}

impl<'a> Sent<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_opt_str(out, self.user_id);
        put_str(out, self.session_id);
        put_str(out, self.surface);
        put_str(out, self.request_id);
        put_i64(out, self.as_of_ms);
        out.extend_from_slice(&self.score.to_le_bytes());
    }

    pub fn decode(body: &'a [u8]) -> Result<Sent<'a>> {
        let r = &mut Reader::new(body);
        Ok(Sent {
            user_id: r.opt_str()?,
            session_id: r.str()?,
            surface: r.str()?,
            request_id: r.str()?,
            as_of_ms: r.i64()?,
            score: r.f32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back() {
        let sent = Sent { user_id: None, session_id: "s", surface: "push", request_id: "r", as_of_ms: 7, score: 0.25 };
        let mut body = Vec::new();
        sent.encode(&mut body);
        assert_eq!(Sent::decode(&body).unwrap(), sent);
        assert!((0..body.len()).all(|cut| Sent::decode(&body[..cut]).is_err()));
    }
}
