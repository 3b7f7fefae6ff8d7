-- What the three scripts share: ids, headers, bodies and the closing report.
--
-- Every thread of wrk has its own interpreter, so event ids carry the thread's number and the second the run began;
-- two runs never send the same id. This file does not know which request comes when.

local shard = {}

local items = tonumber(os.getenv("RTP_ITEMS") or "1000")
local key = os.getenv("RTP_KEY")
local visitors = 100000
local run = os.time()

shard.headers = { ["Content-Type"] = "application/json" }
if key and key ~= "" then
  shard.headers["Authorization"] = "Bearer " .. key
end

local threads = {}

function shard.setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function shard.init()
  math.randomseed(number + 1)
  made = 0
  sent_events = 0
  refused = 0
end

local function visitor()
  return "wrk-" .. math.random(0, visitors - 1)
end

local function item()
  return "item-" .. math.random(0, items - 1)
end

function shard.list()
  local body = string.format('{"surface":"home","session_id":"%s","k":20}', visitor())
  return wrk.format("POST", "/v1/recommend", shard.headers, body)
end

function shard.events(count)
  -- One second in the past: a client's clock that runs ahead would be refused only after five minutes, still.
  local ts_ms = (os.time() - 1) * 1000
  local parts = {}
  for n = 1, count do
    made = made + 1
    parts[n] = string.format(
      '{"event_id":"%d-%d-%d","session_id":"%s","event_type":"click","item_id":"%s","ts_ms":%d,"schema_version":2}',
      run, number, made, visitor(), item(), ts_ms
    )
  end
  sent_events = sent_events + count
  return wrk.format("POST", "/v1/events", shard.headers, "[" .. table.concat(parts, ",") .. "]")
end

function shard.response(status)
  if status ~= 200 then
    refused = refused + 1
  end
end

function shard.done(summary)
  local events, not_200 = 0, 0
  for _, thread in ipairs(threads) do
    events = events + thread:get("sent_events")
    not_200 = not_200 + thread:get("refused")
  end
  local seconds = summary.duration / 1e6
  io.write(string.format("requests_per_s %.0f\n", summary.requests / seconds))
  io.write(string.format("events_per_s %.0f\n", events / seconds))
  io.write(string.format("not_200 %d of %d\n", not_200, summary.requests))
end

return shard
