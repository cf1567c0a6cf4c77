-- Gives a message to OpenDKIM as an MTA would, and prints the signature that it adds.
-- Variables: socket, message (a file with CRLF line ends)
local file = io.open(message, "rb")
local text = file:read("*a")
file:close()
local head, body = text:match("^(.-\r\n)\r\n(.*)$")

local conn = mt.connect(socket, 100, 0.1)
if conn == nil then error("no milter at " .. socket) end
local function must(result) if result ~= nil then error("the milter does not answer") end end
must(mt.conninfo(conn, "localhost", "127.0.0.1"))
must(mt.mailfrom(conn, "<a@signed.example>"))
must(mt.rcptto(conn, "<b@dest.test>"))
for name, value in head:gmatch("([^:\r\n]+): ?(.-)\r\n%f[^ \t\r\n]") do
  must(mt.header(conn, name, (value:gsub("\r\n", "\n"))))
end
must(mt.eoh(conn))
must(mt.bodystring(conn, body))
must(mt.eom(conn))
mt.echo(mt.getheader(conn, "DKIM-Signature", 0))
mt.disconnect(conn)
