-- What stands in the guides is true: each ```lua block is checked, as a configuration, as rules or as a test of rules, and
-- each ```sh block under a line `<!-- runs: FOLDER -->` ends with status 0 in a folder laid out for it.

local ananas = require "tests.support.ananas"
local process = require "tests.support.process"

local GUIDES = { "README.md", "rules/README.md", "engine/README.md", "tests/README.md", "CONTRIBUTING.md" }

local folder

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
end

-- { language, text, line, mark = what an HTML comment right above says }
local function blocks_of(path)
    local blocks, open, mark, number = {}, nil, nil, 0
    for line in (read(path) .. "\n"):gmatch "(.-)\n" do
        number = number + 1
        if open then
            if line == "```" then
                open.text = table.concat(open, "\n") .. "\n"
                blocks[#blocks + 1], open = open, nil
            else
                open[#open + 1] = line
            end
        elseif line:match "^```%a" then
            open, mark = { language = line:match "^```(%a+)", line = number, mark = mark }, nil
        else
            mark = line:match "^<!%-%- (.-) %-%->$"
        end
    end
    assert(not open, path .. ": a block does not end")
    return blocks
end

-- Rules may read each other across the blocks above them, as the reader does; what no block defines is a source.
local function sources_for(text)
    local defined, wanted = {}, {}
    for name in text:gmatch 'rule%s+"([%w_]+)"' do defined[name] = true end
    for list in text:gmatch "from%s*=%s*(%b{})" do
        for name in list:gmatch '"([%w_]+)"' do wanted[name] = true end
    end
    for name in text:gmatch 'from%s*=%s*"([%w_]+)"' do wanted[name] = true end
    local lines = {}
    for name in pairs(wanted) do
        if not defined[name] then
            lines[#lines + 1] = ("source %q { topic = %q, metadata = { orderTimestamp = \"timestamp\" }, watermark = \"5s\" }"):format(name, name)
        end
    end
    table.sort(lines)
    return table.concat(lines, "\n") .. "\nrules \"rules.lua\"\n"
end

local function check()
    local r = ananas.run { "check", "-c", folder .. "/ananas.lua", timeout = 30 }
    assert.equal(0, r.code, r.err)
end

local function check_config(text)
    local source = text:match 'source%s+"([%w_]+)"'
    if not source then text, source = text .. '\nsource "any" {}\n', "any" end
    if not text:find "rules%s+\"" then text = text .. 'rules "rules"\n' end
    write("ananas.lua", text)
    process.run { "mkdir", "-p", folder .. "/rules" }
    write("rules/any.lua", ('rule "any_rule" { from = %q, to = "out" }\n'):format(source))
    check()
end

local function check_rules(text)
    write("rules.lua", text)
    write("ananas.lua", sources_for(text))
    check()
end

local function check_spec(text, rules)
    local file = text:match 'rules_under_test%("([%w_]+%.lua)"'
    write(file, rules)
    write("guide_spec.lua", text)
    local r = ananas.run { "test", folder .. "/guide_spec.lua", timeout = 30 }
    assert.equal(0, r.code, r.out .. r.err)
end

local function is_config(text)
    return text:match "^%s*kafka%s*{" or text:match "^%s*source%s+\"" or text:match "^%s*delivery" or text:match "^%s*http"
end

local function each_block(path)
    local above, latest, of_name = "", "", {}
    for _, block in ipairs(blocks_of(path)) do
        local text, mark = block.text, block.mark
        local name = ("line %d"):format(block.line)
        if block.language == "lua" then
            if text:find "describe%(" then
                local rules = of_name[text:match 'rules_under_test%("([%w_]+)%.lua"']
                it(name .. " is a test that passes", function() check_spec(text, rules) end)
            elseif is_config(text) then
                it(name .. " is a configuration", function() check_config(text) end)
            else
                -- A block that begins a new example stands alone; one marked `goes on` reads what stands above.
                above = mark == "goes on" and above .. text or text
                if path == "README.md" and text:find 'from%s*=%s*"bad_toppings"' then above = latest .. text end
                latest = above
                local rules = above
                for defined in text:gmatch 'rule%s+"([%w_]+)"' do of_name[defined] = rules end
                it(name .. " are rules", function() check_rules(rules) end)
            end
        elseif block.language == "sh" and mark and mark:match "^runs" then
            it(name .. " runs", function()
                local here = process.absolute "."
                local r = process.run { "bash", "-euc", text, cwd = mark:match "^runs: top" and here or folder, timeout = 60,
                    env = { PATH = here .. "/" .. ananas.out .. ":" .. os.getenv "PATH" } }
                assert.equal(0, r.code, r.out .. r.err)
            end)
        end
    end
end

describe("in the guides", function()
    before_each(function() folder = process.folder "docs" end)
    after_each(function() process.remove(folder) end)

    for _, path in ipairs(GUIDES) do
        describe(path, function() each_block(path) end)
    end

    it("every file and every folder that is linked to is there", function()
        for _, path in ipairs(GUIDES) do
            for target in read(path):gsub('<img src="([^"]+)"', "](%1)"):gmatch "%]%(([^)#]+)%)" do
                if not target:match "^https?:" then
                    local at = (path:match "^.*/" or "") .. target
                    assert(io.open(at), path .. " links to " .. target .. ", which is not there")
                end
            end
        end
    end)
end)
