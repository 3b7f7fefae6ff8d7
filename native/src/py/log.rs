//! The log for Python. What waits for the disk or reads much of it holds no GIL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::log::{push_frame, Damage, FrameHeader, FrameIter, Log, LogOptions};
use crate::py::error::to_py;

/// offset, end, kind, partition, key_hash, received_ms, body
type FrameRow<'py> = (u64, u64, u8, u16, u64, u64, Bound<'py, PyBytes>);
type DamageRow = (u64, u64, &'static str);

fn rows(damaged: &[Damage]) -> Vec<DamageRow> {
    damaged.iter().map(|d| (d.from, d.to, d.why)).collect()
}

#[pyclass(module = "rtp_monolith._native", name = "Log", frozen)]
pub struct PyLog {
    pub log: Arc<Log>,
}

#[pymethods]
impl PyLog {
    #[new]
    #[pyo3(signature = (path, *, segment_bytes=67_108_864, read_only=false, recorder=None, salvage=false))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        segment_bytes: u64,
        read_only: bool,
        recorder: Option<PathBuf>,
        salvage: bool,
    ) -> PyResult<Self> {
        let options = LogOptions { segment_bytes, recorder, read_only, salvage, ..LogOptions::default() };
        let log = py.detach(|| Log::open(&path, options)).map_err(to_py)?;
        Ok(PyLog { log: Arc::new(log) })
    }

    fn append_frame(&self, kind: u8, partition: u16, key_hash: u64, received_ms: u64, body: &[u8]) -> PyResult<u64> {
        let mut frame = Vec::new();
        push_frame(&mut frame, &FrameHeader { kind, flags: 0, partition, key_hash, received_ms }, body);
        self.log.append(&frame).map_err(to_py)
    }

    fn end(&self) -> u64 {
        self.log.end()
    }

    fn durable(&self) -> u64 {
        self.log.durable()
    }

    fn start(&self) -> u64 {
        self.log.start()
    }

    /// How far the writer says that the disk has it, as of now and also of a log that is open for reading only; None when
    /// nothing says so.
    fn synced(&self) -> Option<u64> {
        self.log.synced()
    }

    fn wake_fd(&self) -> i32 {
        self.log.wake_fd()
    }

    fn drain_wake(&self) -> u64 {
        self.log.drain_wake()
    }

    fn wait_durable(&self, py: Python<'_>, offset: u64, timeout_ms: u64) -> PyResult<bool> {
        py.detach(|| self.log.wait_durable(offset, Duration::from_millis(timeout_ms))).map_err(to_py)
    }

    /// Code and message.
    fn failure(&self) -> Option<(&'static str, String)> {
        self.log.failure().map(|e| (e.code(), e.to_string()))
    }

    /// Bytes of a torn write that were cut, synced bytes that were lost, damage that was salvaged.
    fn recovery(&self) -> (u64, u64, Vec<DamageRow>) {
        let found = self.log.recovery();
        (found.cut_bytes, found.lost_synced_bytes, rows(&found.damaged))
    }

    fn try_recover(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.log.try_recover()).map_err(to_py)
    }

    fn read<'py>(&self, py: Python<'py>, offset: u64, max_bytes: usize) -> PyResult<(Bound<'py, PyBytes>, u64)> {
        let (bytes, next) = py.detach(|| self.log.read(offset, max_bytes)).map_err(to_py)?;
        Ok((PyBytes::new(py, &bytes), next))
    }

    fn frames<'py>(&self, py: Python<'py>, offset: u64, max_bytes: usize) -> PyResult<Vec<FrameRow<'py>>> {
        let mut at = offset;
        loop {
            let (bytes, next) = py.detach(|| self.log.read(at, max_bytes)).map_err(to_py)?;
            let mut out = Vec::new();
            for frame in FrameIter::new(&bytes, at) {
                let f = frame.map_err(to_py)?;
                let h = f.header;
                let body = PyBytes::new(py, f.body);
                out.push((f.offset, f.end, h.kind, h.partition, h.key_hash, h.received_ms, body));
            }
            // Only an end is an empty list: a gap, or a piece that is the log's own marker, is stepped over.
            if !out.is_empty() || next == at {
                return Ok(out);
            }
            at = next;
        }
    }

    /// Base offset and bytes of each, oldest first.
    fn segments(&self) -> Vec<(u64, u64)> {
        self.log.segments().into_iter().map(|s| (s.base, s.bytes)).collect()
    }

    fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    #[pyo3(signature = (*, max_bytes, older_than_ms, keep_from))]
    fn retain(
        &self,
        py: Python<'_>,
        max_bytes: Option<u64>,
        older_than_ms: Option<u64>,
        keep_from: u64,
    ) -> PyResult<u64> {
        py.detach(|| self.log.retain(max_bytes, older_than_ms, keep_from)).map_err(to_py)
    }

    /// Bytes, frames and the damaged ranges (from, to, why).
    fn verify(&self, py: Python<'_>) -> PyResult<(u64, u64, Vec<DamageRow>)> {
        let found = py.detach(|| self.log.verify()).map_err(to_py)?;
        Ok((found.bytes, found.frames, rows(&found.damaged)))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.log.close()).map_err(to_py)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyLog>()
}
