//! A decision: what one reply showed, and all that replay needs to make it again.
//!
//! Invariant: what is appended to the layout later is absent in older bodies and reads as "none"; a body cut anywhere else is
//! an error.

use crate::codec::{put_bytes, put_i64, put_opt_str, put_str, put_u64, Reader};
use crate::error::{Error, Result};
use crate::hash::Namespace;
use crate::matrix::Matrix;
use crate::record::external::External;

/// What one reply showed and all that replay needs to make it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    pub request_id: &'a str,
    pub user_id: Option<&'a str>,
    pub session_id: &'a str,
    pub surface: &'a str,
    pub as_of_ms: i64,
    /// End of the log that the ranked state had seen.
    pub applied_offset: u64,
    pub state_version: u64,
    pub config_digest: u64,
    pub seed: u64,
    /// The surface's rates divide by what was served.
    pub counts_served: bool,
    /// Model name and version, empty without one.
    pub bundle: &'a str,
    /// JSON of the request's context.
    pub context: &'a [u8],
    pub degraded: Vec<&'a str>,
    pub items: Vec<Shown<'a>>,
    /// Names of `features`, one hash for the whole plan.
    pub plan_digest: u64,
    /// Feature vectors of the first shown items, a row each; empty when none are logged.
    pub features: Matrix,
    /// How the explored slot was filled; None when nothing was explored.
    pub explored: Option<Explored<'a>>,
    /// What batch jobs had published of the user and of what is shown.
    pub external: External<'a>,
    /// What the visitor's next list goes on from.
    pub footing: Footing<'a>,
}

/// Of a list that another one follows: a page behind it, or the same list again as long as nothing speaks against it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Footing<'a> {
    /// `request_id` of the page before this one.
    pub after: Option<&'a str>,
    /// What the list answers to, as one number; 0 where nobody measures the next list by it.
    pub evidence: u64,
    /// When its order was made: before `as_of_ms` when it is the same list again.
    pub made_ms: i64,
    /// Places that rules gave away, ascending.
    pub pinned: Vec<u32>,
}

/// One Thompson slot: all that its draw and its propensity are a function of.
#[derive(Debug, Clone, PartialEq)]
pub struct Explored<'a> {
    /// Position of the drawn item in the list.
    pub slot: u32,
    pub seed: u64,
    pub prior_clicks: f64,
    pub prior_impressions: f64,
    /// Place of the drawn item in `pool`.
    pub drawn: u32,
    pub pool: Vec<Arm<'a>>,
}

/// An item that could have been drawn, with the counts its posterior was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm<'a> {
    pub item_id: &'a str,
    pub clicks: u64,
    pub impressions: u64,
}

/// One item of a decision; its position is its place in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown<'a> {
    pub item_id: &'a str,
    pub score: f32,
    /// Bit per recall source, in the order of `recall::SOURCES`.
    pub sources: u32,
    /// Probability with which the policy put this item at this position given the logged state.
    pub propensity: f32,
}

impl<'a> Decision<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, self.request_id);
        put_opt_str(out, self.user_id);
        put_str(out, self.session_id);
        put_str(out, self.surface);
        put_i64(out, self.as_of_ms);
        put_u64(out, self.applied_offset);
        put_u64(out, self.state_version);
        out.extend_from_slice(&self.config_digest.to_le_bytes());
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.push(u8::from(self.counts_served));
        put_str(out, self.bundle);
        put_bytes(out, self.context);
        put_u64(out, self.degraded.len() as u64);
        self.degraded.iter().for_each(|d| put_str(out, d));
        put_u64(out, self.items.len() as u64);
        for i in &self.items {
            put_str(out, i.item_id);
            out.extend_from_slice(&i.score.to_le_bytes());
            put_u64(out, u64::from(i.sources));
            out.extend_from_slice(&i.propensity.to_le_bytes());
        }
        out.extend_from_slice(&self.plan_digest.to_le_bytes());
        self.features.encode(out);
        match &self.explored {
            None => out.push(0),
            Some(explored) => {
                out.push(1);
                explored.encode(out);
            }
        }
        let followed = self.footing != Footing::default();
        if followed || !self.external.is_empty() {
            self.external.encode(out);
        }
        if followed {
            self.footing.encode(out);
        }
    }

    pub fn decode(body: &'a [u8]) -> Result<Decision<'a>> {
        let r = &mut Reader::new(body);
        let mut d = Decision {
            request_id: r.str()?,
            user_id: r.opt_str()?,
            session_id: r.str()?,
            surface: r.str()?,
            as_of_ms: r.i64()?,
            applied_offset: r.u64()?,
            state_version: r.u64()?,
            config_digest: r.fixed_u64()?,
            seed: r.fixed_u64()?,
            counts_served: r.u8()? == 1,
            bundle: r.str()?,
            context: r.bytes()?,
            degraded: Vec::new(),
            items: Vec::new(),
            plan_digest: 0,
            features: Matrix::default(),
            explored: None,
            external: External::default(),
            footing: Footing::default(),
        };
        for _ in 0..r.u64()? {
            d.degraded.push(r.str()?);
        }
        for _ in 0..r.u64()? {
            d.items.push(Shown {
                item_id: r.str()?,
                score: r.f32()?,
                sources: u32::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "sources"))?,
                propensity: r.f32()?,
            });
        }
        d.plan_digest = r.fixed_u64()?;
        d.features = Matrix::decode(r)?;
        // Decisions from before there was a slot to explore end here.
        if !r.is_empty() && r.u8()? == 1 {
            d.explored = Some(Explored::decode(r)?);
        }
        // And those of a shard without published features here.
        if !r.is_empty() {
            d.external = External::decode(r)?;
        }
        // And lists that nothing is measured by here.
        if !r.is_empty() {
            d.footing = Footing::decode(r)?;
        }
        Ok(d)
    }

    pub fn user_key(&self) -> (Namespace, &'a str) {
        match self.user_id {
            Some(u) => (Namespace::User, u),
            None => (Namespace::Session, self.session_id),
        }
    }
}

impl<'a> Explored<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.slot));
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&self.prior_clicks.to_le_bytes());
        out.extend_from_slice(&self.prior_impressions.to_le_bytes());
        put_u64(out, u64::from(self.drawn));
        put_u64(out, self.pool.len() as u64);
        for arm in &self.pool {
            put_str(out, arm.item_id);
            put_u64(out, arm.clicks);
            put_u64(out, arm.impressions);
        }
    }

    fn decode(r: &mut Reader<'a>) -> Result<Explored<'a>> {
        let narrow = |v: u64| u32::try_from(v).map_err(|_| Error::corrupt(0, "an explored slot out of range"));
        let mut explored = Explored {
            slot: narrow(r.u64()?)?,
            seed: r.fixed_u64()?,
            prior_clicks: f64::from_bits(r.fixed_u64()?),
            prior_impressions: f64::from_bits(r.fixed_u64()?),
            drawn: narrow(r.u64()?)?,
            pool: Vec::new(),
        };
        for _ in 0..r.u64()? {
            explored.pool.push(Arm { item_id: r.str()?, clicks: r.u64()?, impressions: r.u64()? });
        }
        if explored.drawn as usize >= explored.pool.len() {
            return Err(Error::corrupt(0, "an explored item outside its pool"));
        }
        Ok(explored)
    }
}

impl<'a> Footing<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_opt_str(out, self.after);
        out.extend_from_slice(&self.evidence.to_le_bytes());
        put_i64(out, self.made_ms);
        put_u64(out, self.pinned.len() as u64);
        self.pinned.iter().for_each(|place| put_u64(out, u64::from(*place)));
    }

    fn decode(r: &mut Reader<'a>) -> Result<Footing<'a>> {
        let (after, evidence, made_ms) = (r.opt_str()?, r.fixed_u64()?, r.i64()?);
        let mut pinned = Vec::new();
        for _ in 0..r.u64()? {
            pinned.push(u32::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "a place out of range"))?);
        }
        Ok(Footing { after, evidence, made_ms, pinned })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Told;

    #[test]
    fn a_decision_comes_back() {
        let d = Decision {
            request_id: "r1",
            user_id: None,
            session_id: "s1",
            surface: "home",
            as_of_ms: 5,
            applied_offset: 77,
            state_version: 3,
            config_digest: u64::MAX,
            seed: 9,
            counts_served: true,
            bundle: "",
            context: b"{}",
            degraded: vec!["no_model"],
            items: vec![Shown { item_id: "i1", score: 0.5, sources: 5, propensity: 1.0 }],
            plan_digest: 1,
            features: Matrix { columns: 2, values: vec![1.0, -2.5] },
            explored: None,
            external: External::default(),
            footing: Footing::default(),
        };
        let mut body = Vec::new();
        d.encode(&mut body);
        assert_eq!(Decision::decode(&body).unwrap(), d);
        let before = body.len() - 1;
        assert_eq!(Decision::decode(&body[..before]).unwrap(), d, "as it was written before there was exploration");
        for cut in 0..before {
            assert!(Decision::decode(&body[..cut]).is_err());
        }
        let pool = vec![
            Arm { item_id: "i1", clicks: 0, impressions: 3 },
            Arm { item_id: "i2", clicks: 300, impressions: 1 << 40 },
        ];
        let explored = Explored { slot: 4, seed: u64::MAX, prior_clicks: 1.0, prior_impressions: 20.5, drawn: 1, pool };
        let explored = Decision { explored: Some(explored), ..d };
        body.clear();
        explored.encode(&mut body);
        assert_eq!(Decision::decode(&body).unwrap(), explored);
        for cut in before + 1..body.len() {
            assert!(Decision::decode(&body[..cut]).is_err());
        }
        let without = body.len();
        let external = External {
            user: vec![Told { name: "user_tier", width: 0, key: 7 }],
            user_values: Matrix { columns: 1, values: vec![3.0] },
            ..External::default()
        };
        let published = Decision { external, ..explored.clone() };
        body.clear();
        published.encode(&mut body);
        assert_eq!(Decision::decode(&body).unwrap(), published);
        assert_eq!(Decision::decode(&body[..without]).unwrap(), explored, "as without published features");
        for cut in without + 1..body.len() {
            assert!(Decision::decode(&body[..cut]).is_err());
        }
        let alone = body.len();
        let footing = Footing { after: Some("r0"), evidence: u64::MAX, made_ms: 3, pinned: vec![0, 300] };
        let followed = Decision { footing: footing.clone(), ..published.clone() };
        body.clear();
        followed.encode(&mut body);
        assert_eq!(Decision::decode(&body).unwrap(), followed);
        assert_eq!(Decision::decode(&body[..alone]).unwrap(), published, "as without a footing");
        for cut in alone + 1..body.len() {
            assert!(Decision::decode(&body[..cut]).is_err());
        }
        let unpublished = Decision { footing, ..explored };
        body.clear();
        unpublished.encode(&mut body);
        assert_eq!(Decision::decode(&body).unwrap(), unpublished);
    }
}
