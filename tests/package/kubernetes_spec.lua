-- The Kubernetes manifest against Kubernetes' own schemas (the Python package kubernetes-validate brings them), strictly: a
-- member that no schema knows is a fault.

local process = require "tests.support.process"

local PLACE = "build/kubernetes"

local function run(words)
    words.timeout = words.timeout or 200
    return process.run(words)
end

describe("the Kubernetes manifest", function()
    setup(function()
        if run({ "test", "-x", PLACE .. "/bin/kubernetes-validate" }).code == 0 then return end
        local made = run { "python3", "-m", "venv", PLACE }
        assert(made.code == 0, made.out .. made.err)
        local installed = run { PLACE .. "/bin/pip", "install", "-q", "--disable-pip-version-check", "kubernetes-validate" }
        assert(installed.code == 0, installed.out .. installed.err)
    end)

    it("has nothing that Kubernetes' schemas refuse or do not know", function()
        local checked = run { PLACE .. "/bin/kubernetes-validate", "--strict", "packaging/sidecar.yaml" }
        assert.equal(0, checked.code, checked.out .. checked.err)
    end)

    it("is looked at by a check that sees faults", function()
        local file = assert(io.open "packaging/sidecar.yaml")
        local text = file:read "*a"
        file:close()
        local folder = process.folder "kubernetes"
        for _, fault in ipairs { { "replicas: 2", "replicas: two" }, { "readOnlyRootFilesystem", "readOnlyRootFileSystem" } } do
            local wrong, n = text:gsub(fault[1], fault[2])
            assert.is_true(n > 0)
            local out = assert(io.open(folder .. "/wrong.yaml", "w"))
            out:write(wrong)
            out:close()
            assert.not_equal(0, run({ PLACE .. "/bin/kubernetes-validate", "--strict", folder .. "/wrong.yaml" }).code, fault[2])
        end
        process.remove(folder)
    end)
end)
