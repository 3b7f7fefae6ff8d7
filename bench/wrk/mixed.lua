-- Four batches of 10 clicks, then one list, over and over. Use: wrk -t1 -c8 -d30s --latency -s bench/wrk/mixed.lua http://127.0.0.1:8000

package.path = debug.getinfo(1, "S").source:match("@?(.*/)") .. "?.lua;" .. package.path
local shard = require("shard")

function setup(thread)
  shard.setup(thread)
end

function init()
  shard.init()
end

function request()
  turn = (turn or 0) + 1
  if turn % 5 == 0 then
    return shard.list()
  end
  return shard.events(10)
end

function response(status)
  shard.response(status)
end

function done(summary)
  shard.done(summary)
end
