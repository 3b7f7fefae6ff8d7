-- Lists of 20 for made-up visitors. Use: wrk -t1 -c8 -d30s --latency -s bench/wrk/recommend.lua http://127.0.0.1:8000

package.path = debug.getinfo(1, "S").source:match("@?(.*/)") .. "?.lua;" .. package.path
local shard = require("shard")

function setup(thread)
  shard.setup(thread)
end

function init()
  shard.init()
end

function request()
  return shard.list()
end

function response(status)
  shard.response(status)
end

function done(summary)
  shard.done(summary)
end
