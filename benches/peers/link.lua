-- Our link, checked by lighttpd: the form, HMAC-SHA256, then the time.
local key = lighty.c.hexdec("@KEY@")
local r = lighty.r

local kind, id = string.match(r.req_attr["uri.path"], "^/webhook%-assets/(%l+)/([%x-]+)$")
local query = r.req_attr["uri.query"] or ""
local expires = string.match(query, "expires=(%d+)")
local digits = string.match(query, "sig=(%x+)")
if not id or not expires or not digits then return 403 end
local text = "webhook-assets/v1\n" .. kind .. "\n" .. id .. "\n" .. expires
if not lighty.c.digest_eq(lighty.c.hmac("sha256", key, text), digits) then return 403 end
if tonumber(expires) <= os.time() then return 403 end
local file = kind == "recording" and "/recordings/" .. id .. ".mp3" or "/transcripts/" .. id .. ".json"
r.req_attr["physical.path"] = r.req_attr["physical.doc-root"] .. file
return 0
