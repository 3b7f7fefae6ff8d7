//! Features computed elsewhere, as Python hands them in, and how often features had nothing but their default to say.

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::fold::plan::{Op, Plan};
use crate::fold::published::{Columns, Given, Rows, View};
use crate::fold::state::Person;
use crate::hash::{id_hash, key_hash, Namespace};
use crate::matrix::Matrix;
use crate::py::core::{refuse, Core};
use crate::py::rank::Ranked;
use crate::py::read::Ask;
use crate::record::{External, Told};

/// Items of a decision whose published values it carries.
const EXTERNAL_ROWS_MAX: usize = 200;
/// Plans whose defaults are counted: the catalogue's, and a bundle's whose ranker did not come to its rows.
const COUNTED_MAX: usize = 4;

/// How often each feature of a plan gave its default, in rows that were made for decisions.
#[derive(Debug, Default)]
pub struct Defaults {
    counted: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    digest: u64,
    rows: u64,
    /// Name, default, how often; what was published is counted apart.
    features: Vec<(String, f32, u64)>,
    places: Vec<usize>,
}

impl Defaults {
    pub fn count(&mut self, plan: &Plan, rows: &[f32]) {
        let at = match self.counted.iter().position(|c| c.digest == plan.digest) {
            Some(at) => at,
            None if self.counted.len() == COUNTED_MAX => return,
            None => {
                let own = plan.features.iter().enumerate().filter(|(_, f)| !matches!(f.op, Op::Published(_)));
                let (places, features) = own.map(|(at, f)| (at, (f.name.clone(), f.default, 0))).unzip();
                self.counted.push(Counted { digest: plan.digest, rows: 0, features, places });
                self.counted.len() - 1
            }
        };
        let counted = &mut self.counted[at];
        for row in rows.chunks_exact(plan.len().max(1)) {
            counted.rows += 1;
            for ((_, default, n), place) in counted.features.iter_mut().zip(&counted.places) {
                *n += u64::from(row[*place] == *default);
            }
        }
    }
}

impl Core {
    /// Counts the values of what `external` gave.
    pub fn count_published(&mut self, user: &[f32], items: &[f32]) {
        self.indices.published.count(user, items);
    }

    /// What a decision must carry so that its rows can be made again.
    pub fn external(&self, ask: &Ask, ranked: &Ranked) -> (Matrix, Matrix) {
        let published = &self.indices.published;
        let Some(view) = View::of(published, &ask.given, ask.now_ms) else { return Default::default() };
        let mut user = ask.given.user.clone();
        user.resize(published.user.len(), f32::NAN);
        let mut items = Vec::new();
        if !published.item.is_empty() {
            let shown = ranked.items.iter().take(EXTERNAL_ROWS_MAX);
            shown.for_each(|c| view.item_row(self.state.catalogue.ids().hash(c.item), &mut items));
        }
        (
            Matrix { columns: published.user.len(), values: user },
            Matrix { columns: published.item.len(), values: items },
        )
    }

    pub fn told(&self, user_values: Matrix, item_values: Matrix) -> External<'_> {
        fn told(columns: &Columns) -> Vec<Told<'_>> {
            columns.sources.iter().map(|s| Told { name: &s.name, width: s.width, key: s.key }).collect()
        }
        let published = &self.indices.published;
        External { user: told(&published.user), user_values, item: told(&published.item), item_values }
    }
}

#[pymethods]
impl Core {
    /// Gives a request what was published of its user, float32 [user columns], NaN for nothing; with `ids` also the
    /// items' values, float32 [ids, item columns], in place of the table's. Raises `bad_shape`.
    #[pyo3(signature = (ask, user, ids=None, rows=None))]
    fn set_published(
        &self,
        ask: &mut Ask,
        user: PyReadonlyArray1<'_, f32>,
        ids: Option<Vec<String>>,
        rows: Option<PyReadonlyArray2<'_, f32>>,
    ) -> PyResult<()> {
        let published = &self.indices.published;
        if user.len() != published.user.len() {
            let message = format!("{} values for {} columns", user.len(), published.user.len());
            return Err(refuse("bad_shape", "user", message));
        }
        let items = match (ids, rows) {
            (Some(ids), Some(rows)) => Some(rows_of(&ids, &rows, published.item.len(), |rows, id, row| {
                rows.put(id_hash(id), row);
            })?),
            _ => None,
        };
        ask.given = Given { user: user.as_array().to_vec(), items };
        Ok(())
    }

    /// Adds rows, float32 [ids, item columns], to the table that `adopt_published` puts in place of the present one;
    /// `first` drops what was staged before. Raises `bad_shape`.
    #[pyo3(signature = (ids, rows, *, first=false))]
    fn stage_published(&mut self, ids: Vec<String>, rows: PyReadonlyArray2<'_, f32>, first: bool) -> PyResult<()> {
        let published = &mut self.indices.published;
        if first {
            published.unstage();
        }
        let width = published.item.len();
        rows_of(&ids, &rows, width, |_, id, row| published.stage(id, row)).map(|_| ())
    }

    /// Rows that were staged are the table; a column's values are nobody's from its moment of `expires_ms` on.
    fn adopt_published(&mut self, expires_ms: Vec<i64>) {
        self.indices.published.adopt(expires_ms);
    }

    /// (items with a row, bytes) of the table.
    fn published_size(&self) -> (usize, usize) {
        (self.indices.published.len(), self.indices.published.memory_bytes())
    }

    /// [(feature, values, nulls)]: of published columns every value that a decision carries, of other features the
    /// values made for decisions and how many of them were the default.
    fn feature_counts(&self) -> Vec<(String, u64, u64)> {
        let published = &self.indices.published;
        let both = [&published.user, &published.item].into_iter();
        let external = both.flat_map(|c| c.names.iter().zip(&c.counted)).map(|(name, (n, nulls))| {
            let each: (String, u64, u64) = (name.clone(), *n, *nulls);
            each
        });
        let mut counts: Vec<(String, u64, u64)> = external.collect();
        let from = counts.len();
        for plan in &self.defaults.counted {
            for (name, _, nulls) in &plan.features {
                match counts[from..].iter_mut().find(|(known, _, _)| known == name) {
                    Some(known) => (known.1, known.2) = (known.1 + plan.rows, known.2 + nulls),
                    None => counts.push((name.clone(), plan.rows, *nulls)),
                }
            }
        }
        counts
    }

    /// The user whom a session that is in memory is linked to.
    fn linked_user(&self, session_id: &str) -> Option<&str> {
        match &self.state.users.get(&key_hash(Namespace::Session, session_id))?.person {
            Person::Linked(user) => Some(user),
            Person::Known(_) => None,
        }
    }
}

/// Published values as {"user": {"columns": [[name, width, key]], "values": [[…]]}, "items": …}, null for NaN; null
/// without any.
pub fn external_json(external: &External<'_>) -> Option<serde_json::Value> {
    let part = |told: &[Told<'_>], values: &Matrix| {
        let columns = told.iter().map(|t| serde_json::json!([t.name, t.width, format!("{:016x}", t.key)]));
        let rows = values.values.chunks_exact(values.columns.max(1));
        let columns: Vec<serde_json::Value> = columns.collect();
        serde_json::json!({"columns": columns, "values": rows.collect::<Vec<_>>()})
    };
    (!external.is_empty()).then(|| {
        let user = part(&external.user, &external.user_values);
        serde_json::json!({"user": user, "items": part(&external.item, &external.item_values)})
    })
}

/// Hands every row to `each` with its id.
fn rows_of(
    ids: &[String],
    rows: &PyReadonlyArray2<'_, f32>,
    width: usize,
    mut each: impl FnMut(&mut Rows, &str, &[f32]),
) -> PyResult<Rows> {
    if rows.shape() != [ids.len(), width] {
        let message = format!("{:?} values for {} ids of {width} columns", rows.shape(), ids.len());
        return Err(refuse("bad_shape", "rows", message));
    }
    let values = rows.as_slice().map_err(|e| PyValueError::new_err(e.to_string()))?;
    let mut made = Rows::default();
    for (id, row) in ids.iter().zip(values.chunks_exact(width.max(1))) {
        each(&mut made, id, row);
    }
    Ok(made)
}
