-- What an operator does to a broker, from specs: records deleted, groups deleted, rights taken and given.
--
--   local admin = require "tests.support.kafka_admin"
--   admin.delete_records(bootstrap, "pizzas", { [0] = 5 })   -- those before offset 5 of partition 0
--   admin.delete_group(bootstrap, "group")
--   admin.deny(bootstrap, "topic", "pizzas", "write")        -- a broker made with { settings = admin.AUTHORIZER }
--
-- Everything raises a message on failure.

local ffi = require "ffi"
local client = require "tests.support.kafka_client"
local rd = require "tests.support.librdkafka"

ffi.cdef [[
typedef struct rd_kafka_DeleteRecords_s rd_kafka_DeleteRecords_t;
typedef struct rd_kafka_DeleteGroup_s rd_kafka_DeleteGroup_t;
typedef struct rd_kafka_AclBinding_s rd_kafka_AclBinding_t;
rd_kafka_DeleteRecords_t *rd_kafka_DeleteRecords_new(const rd_kafka_topic_partition_list_t *before);
void rd_kafka_DeleteRecords_destroy(rd_kafka_DeleteRecords_t *);
void rd_kafka_DeleteRecords(rd_kafka_t *, rd_kafka_DeleteRecords_t **, size_t n, const rd_kafka_AdminOptions_t *, rd_kafka_queue_t *);
const void *rd_kafka_event_DeleteRecords_result(rd_kafka_event_t *);
const rd_kafka_topic_partition_list_t *rd_kafka_DeleteRecords_result_offsets(const void *);
rd_kafka_DeleteGroup_t *rd_kafka_DeleteGroup_new(const char *group);
void rd_kafka_DeleteGroup_destroy(rd_kafka_DeleteGroup_t *);
void rd_kafka_DeleteGroups(rd_kafka_t *, rd_kafka_DeleteGroup_t **, size_t n, const rd_kafka_AdminOptions_t *, rd_kafka_queue_t *);
const void *rd_kafka_event_DeleteGroups_result(rd_kafka_event_t *);
const void **rd_kafka_DeleteGroups_result_groups(const void *, size_t *n);
const rd_kafka_error_t *rd_kafka_group_result_error(const void *);
rd_kafka_AclBinding_t *rd_kafka_AclBinding_new(int resource, const char *name, int pattern, const char *principal, const char *host,
    int operation, int permission, char *errstr, size_t size);
void rd_kafka_AclBinding_destroy(rd_kafka_AclBinding_t *);
void rd_kafka_CreateAcls(rd_kafka_t *, rd_kafka_AclBinding_t **, size_t n, const rd_kafka_AdminOptions_t *, rd_kafka_queue_t *);
const void *rd_kafka_event_CreateAcls_result(rd_kafka_event_t *);
const void **rd_kafka_CreateAcls_result_acls(const void *, size_t *n);
const rd_kafka_error_t *rd_kafka_acl_result_error(const void *);
]]

local RESOURCES, OPERATIONS = { topic = 2, group = 3 }, { all = 2, read = 3, write = 4, describe = 8 }
local LITERAL, DENY, ALLOW = 3, 2, 3

local admin = {}

-- Who has no rule for a thing may do everything with it.
admin.AUTHORIZER = {
    ["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    ["allow.everyone.if.no.acl.found"] = "true",
}

-- Sends a request and gives `look(event)` its answer.
local function request(bootstrap, what, send, look)
    local handle = client.asker(bootstrap)
    local queue = rd.rd_kafka_queue_new(handle)
    send(handle, queue)
    local event = rd.rd_kafka_queue_poll(queue, 30000)
    if event == nil then error(what .. ": no answer within 30 s", 0) end
    local trouble = rd.rd_kafka_event_error(event) ~= 0 and ffi.string(rd.rd_kafka_event_error_string(event)) or look(event)
    rd.rd_kafka_event_destroy(event)
    rd.rd_kafka_queue_destroy(queue)
    if trouble then error(what .. ": " .. trouble, 0) end
end

local function words(e) return e ~= nil and ffi.string(rd.rd_kafka_error_string(e)) or nil end

function admin.delete_records(bootstrap, topic, before)
    local list = rd.rd_kafka_topic_partition_list_new(4)
    for partition, offset in pairs(before) do rd.rd_kafka_topic_partition_list_add(list, topic, partition).offset = offset end
    local wish = ffi.new("rd_kafka_DeleteRecords_t *[1]", { rd.rd_kafka_DeleteRecords_new(list) })
    rd.rd_kafka_topic_partition_list_destroy(list)
    request(bootstrap, "delete records of " .. topic, function(handle, queue) rd.rd_kafka_DeleteRecords(handle, wish, 1, nil, queue) end,
        function(event)
            local offsets = rd.rd_kafka_DeleteRecords_result_offsets(rd.rd_kafka_event_DeleteRecords_result(event))
            for i = 0, offsets.cnt - 1 do
                if offsets.elems[i].err ~= 0 then return client.err2str(offsets.elems[i].err) end
            end
        end)
    rd.rd_kafka_DeleteRecords_destroy(wish[0])
end

function admin.delete_group(bootstrap, group)
    local wish = ffi.new("rd_kafka_DeleteGroup_t *[1]", { rd.rd_kafka_DeleteGroup_new(group) })
    request(bootstrap, "delete group " .. group, function(handle, queue) rd.rd_kafka_DeleteGroups(handle, wish, 1, nil, queue) end,
        function(event)
            local n = ffi.new "size_t[1]"
            local groups = rd.rd_kafka_DeleteGroups_result_groups(rd.rd_kafka_event_DeleteGroups_result(event), n)
            return words(rd.rd_kafka_group_result_error(groups[0]))
        end)
    rd.rd_kafka_DeleteGroup_destroy(wish[0])
end

-- Takes one right from everybody; all others stay.
function admin.deny(bootstrap, resource, name, operation)
    local errstr = ffi.new "char[512]"
    local function rule(what, permission)
        local binding = rd.rd_kafka_AclBinding_new(RESOURCES[resource], name, LITERAL, "User:*", "*", OPERATIONS[what], permission, errstr, 512)
        if binding == nil then error(ffi.string(errstr), 0) end
        return binding
    end
    local rules = ffi.new("rd_kafka_AclBinding_t *[2]", { rule("all", ALLOW), rule(operation, DENY) })
    request(bootstrap, "deny", function(handle, queue) rd.rd_kafka_CreateAcls(handle, rules, 2, nil, queue) end, function(event)
        local n = ffi.new "size_t[1]"
        local results = rd.rd_kafka_CreateAcls_result_acls(rd.rd_kafka_event_CreateAcls_result(event), n)
        for i = 0, tonumber(n[0]) - 1 do
            local trouble = words(rd.rd_kafka_acl_result_error(results[i]))
            if trouble then return trouble end
        end
    end)
    for i = 0, 1 do rd.rd_kafka_AclBinding_destroy(rules[i]) end
end

return admin
