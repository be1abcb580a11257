-- Certificates for specs, made with openssl when they are wanted, as PEM files in a folder:
--
--   local c = certificates.make(folder)
--   c.authority, c.stranger           -- certificates of an authority, and of one that signed nothing here
--   c.server                          -- key and certificate in one file, for localhost and 127.0.0.1
--   c.client_key, c.client            -- of a client

local process = require "tests.support.process"
local replay = require "tests.support.replay"

local certificates = {}

local function openssl(...)
    local r = process.run { "openssl", ... }
    if r.code ~= 0 then error("openssl: " .. r.err, 0) end
end

local read, write = replay.read, replay.write

local function authority(stem, name)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" .. name, "-keyout", stem .. ".key", "-out", stem .. ".pem")
end

local function signed(folder, name, extensions)
    local stem = folder .. "/" .. name
    write(stem .. ".ext", extensions)
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" .. name, "-keyout", stem .. ".key", "-out", stem .. ".csr")
    openssl("x509", "-req", "-days", "2", "-in", stem .. ".csr", "-CA", folder .. "/authority.pem", "-CAkey", folder .. "/authority.key",
        "-CAcreateserial", "-extfile", stem .. ".ext", "-out", stem .. ".pem")
    return stem
end

function certificates.make(folder)
    folder = process.absolute(folder)
    authority(folder .. "/authority", "authority of the specs")
    authority(folder .. "/stranger", "somebody else")
    local server = signed(folder, "server", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    local client = signed(folder, "client", "extendedKeyUsage=clientAuth\n")
    write(folder .. "/server-both.pem", read(server .. ".key") .. read(server .. ".pem"))
    return { authority = folder .. "/authority.pem", stranger = folder .. "/stranger.pem", server = folder .. "/server-both.pem",
        client_key = client .. ".key", client = client .. ".pem" }
end

return certificates
