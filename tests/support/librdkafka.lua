-- librdkafka through LuaJIT's FFI: what specs use of it, as librdkafka declares it. Returns the library.
--
--   local rd = require "tests.support.librdkafka"
--   rd.rd_kafka_err2str(-191)

local ffi = require "ffi"

ffi.cdef [[
typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;
typedef enum { RD_KAFKA_PRODUCER, RD_KAFKA_CONSUMER } rd_kafka_type_t;
typedef struct rd_kafka_topic_s rd_kafka_topic_t;
typedef struct rd_kafka_queue_s rd_kafka_queue_t;
typedef struct rd_kafka_op_s rd_kafka_event_t;
typedef struct rd_kafka_headers_s rd_kafka_headers_t;
typedef struct rd_kafka_error_s rd_kafka_error_t;
typedef struct rd_kafka_NewTopic_s rd_kafka_NewTopic_t;
typedef struct rd_kafka_DeleteTopic_s rd_kafka_DeleteTopic_t;
typedef struct rd_kafka_NewPartitions_s rd_kafka_NewPartitions_t;
typedef struct rd_kafka_AdminOptions_s rd_kafka_AdminOptions_t;
typedef struct rd_kafka_topic_result_s rd_kafka_topic_result_t;
typedef struct rd_kafka_consumer_group_metadata_s rd_kafka_consumer_group_metadata_t;
typedef struct rd_kafka_message_s {
    int err;
    rd_kafka_topic_t *rkt;
    int32_t partition;
    void *payload;
    size_t len;
    void *key;
    size_t key_len;
    int64_t offset;
    void *_private;
} rd_kafka_message_t;
typedef struct rd_kafka_topic_partition_s {
    char *topic;
    int32_t partition;
    int64_t offset;
    void *metadata;
    size_t metadata_size;
    void *opaque;
    int err;
    void *_private;
} rd_kafka_topic_partition_t;
typedef struct rd_kafka_topic_partition_list_s {
    int cnt, size;
    rd_kafka_topic_partition_t *elems;
} rd_kafka_topic_partition_list_t;
struct rd_kafka_metadata_broker { int32_t id; char *host; int port; };
struct rd_kafka_metadata_partition { int32_t id; int err; int32_t leader; int replica_cnt; int32_t *replicas; int isr_cnt; int32_t *isrs; };
struct rd_kafka_metadata_topic { char *topic; int partition_cnt; struct rd_kafka_metadata_partition *partitions; int err; };
struct rd_kafka_metadata {
    int broker_cnt;
    struct rd_kafka_metadata_broker *brokers;
    int topic_cnt;
    struct rd_kafka_metadata_topic *topics;
    int32_t orig_broker_id;
    char *orig_broker_name;
};
typedef struct rd_kafka_vu_s {
    int vtype;
    union {
        const char *cstr;
        int i;
        int32_t i32;
        int64_t i64;
        struct { const void *ptr; size_t size; } mem;
        struct { const char *name; const void *val; long size; } header;
        void *ptr;
        char pad[64];
    } u;
} rd_kafka_vu_t;

rd_kafka_conf_t *rd_kafka_conf_new(void);
int rd_kafka_conf_set(rd_kafka_conf_t *, const char *name, const char *value, char *errstr, size_t size);
void rd_kafka_conf_set_events(rd_kafka_conf_t *, int events);
rd_kafka_t *rd_kafka_new(int type, rd_kafka_conf_t *, char *errstr, size_t size);
void rd_kafka_destroy(rd_kafka_t *);
void rd_kafka_destroy_flags(rd_kafka_t *, int flags);
const char *rd_kafka_err2str(int err);
int rd_kafka_outq_len(rd_kafka_t *);
rd_kafka_topic_t *rd_kafka_topic_new(rd_kafka_t *, const char *topic, void *conf);
void rd_kafka_topic_destroy(rd_kafka_topic_t *);
int rd_kafka_consume_start_queue(rd_kafka_topic_t *, int32_t partition, int64_t offset, rd_kafka_queue_t *);
int rd_kafka_consume_stop(rd_kafka_topic_t *, int32_t partition);
rd_kafka_message_t *rd_kafka_consume_queue(rd_kafka_queue_t *, int timeout_ms);
int rd_kafka_last_error(void);
void rd_kafka_message_destroy(rd_kafka_message_t *);
int64_t rd_kafka_message_timestamp(const rd_kafka_message_t *, int *type);
int rd_kafka_message_headers(const rd_kafka_message_t *, rd_kafka_headers_t **);
int rd_kafka_header_get_all(const rd_kafka_headers_t *, size_t i, const char **name, const void **value, size_t *size);
const char *rd_kafka_topic_name(const rd_kafka_topic_t *);
rd_kafka_topic_partition_list_t *rd_kafka_topic_partition_list_new(int size);
rd_kafka_topic_partition_t *rd_kafka_topic_partition_list_add(rd_kafka_topic_partition_list_t *, const char *topic, int32_t partition);
void rd_kafka_topic_partition_list_destroy(rd_kafka_topic_partition_list_t *);
int rd_kafka_committed(rd_kafka_t *, rd_kafka_topic_partition_list_t *, int timeout_ms);
int rd_kafka_commit(rd_kafka_t *, const rd_kafka_topic_partition_list_t *, int async);
int rd_kafka_query_watermark_offsets(rd_kafka_t *, const char *topic, int32_t partition, int64_t *low, int64_t *high, int timeout_ms);
int rd_kafka_metadata(rd_kafka_t *, int all, rd_kafka_topic_t *only, const struct rd_kafka_metadata **, int timeout_ms);
void rd_kafka_metadata_destroy(const struct rd_kafka_metadata *);
rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *, const rd_kafka_vu_t *, size_t n);
int rd_kafka_error_code(const rd_kafka_error_t *);
const char *rd_kafka_error_string(const rd_kafka_error_t *);
void rd_kafka_error_destroy(rd_kafka_error_t *);
rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *, int timeout_ms);
rd_kafka_error_t *rd_kafka_begin_transaction(rd_kafka_t *);
rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *, int timeout_ms);
rd_kafka_error_t *rd_kafka_abort_transaction(rd_kafka_t *, int timeout_ms);
rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(rd_kafka_t *, const rd_kafka_topic_partition_list_t *, const rd_kafka_consumer_group_metadata_t *, int timeout_ms);
rd_kafka_consumer_group_metadata_t *rd_kafka_consumer_group_metadata_new(const char *group);
void rd_kafka_consumer_group_metadata_destroy(rd_kafka_consumer_group_metadata_t *);
rd_kafka_queue_t *rd_kafka_queue_new(rd_kafka_t *);
rd_kafka_queue_t *rd_kafka_queue_get_main(rd_kafka_t *);
void rd_kafka_queue_destroy(rd_kafka_queue_t *);
rd_kafka_event_t *rd_kafka_queue_poll(rd_kafka_queue_t *, int timeout_ms);
int rd_kafka_event_type(const rd_kafka_event_t *);
void rd_kafka_event_destroy(rd_kafka_event_t *);
const rd_kafka_message_t *rd_kafka_event_message_next(rd_kafka_event_t *);
int rd_kafka_event_error(rd_kafka_event_t *);
const char *rd_kafka_event_error_string(rd_kafka_event_t *);
rd_kafka_NewTopic_t *rd_kafka_NewTopic_new(const char *name, int partitions, int replication, char *errstr, size_t size);
int rd_kafka_NewTopic_set_config(rd_kafka_NewTopic_t *, const char *name, const char *value);
void rd_kafka_NewTopic_destroy(rd_kafka_NewTopic_t *);
void rd_kafka_CreateTopics(rd_kafka_t *, rd_kafka_NewTopic_t **, size_t n, const rd_kafka_AdminOptions_t *, rd_kafka_queue_t *);
rd_kafka_DeleteTopic_t *rd_kafka_DeleteTopic_new(const char *name);
void rd_kafka_DeleteTopic_destroy(rd_kafka_DeleteTopic_t *);
void rd_kafka_DeleteTopics(rd_kafka_t *, rd_kafka_DeleteTopic_t **, size_t n, const rd_kafka_AdminOptions_t *, rd_kafka_queue_t *);
rd_kafka_NewPartitions_t *rd_kafka_NewPartitions_new(const char *topic, size_t total, char *errstr, size_t size);
void rd_kafka_NewPartitions_destroy(rd_kafka_NewPartitions_t *);
void rd_kafka_CreatePartitions(rd_kafka_t *, rd_kafka_NewPartitions_t **, size_t n, const rd_kafka_AdminOptions_t *, rd_kafka_queue_t *);
const void *rd_kafka_event_CreateTopics_result(rd_kafka_event_t *);
const void *rd_kafka_event_DeleteTopics_result(rd_kafka_event_t *);
const void *rd_kafka_event_CreatePartitions_result(rd_kafka_event_t *);
const rd_kafka_topic_result_t **rd_kafka_CreateTopics_result_topics(const void *, size_t *n);
const rd_kafka_topic_result_t **rd_kafka_DeleteTopics_result_topics(const void *, size_t *n);
const rd_kafka_topic_result_t **rd_kafka_CreatePartitions_result_topics(const void *, size_t *n);
int rd_kafka_topic_result_error(const rd_kafka_topic_result_t *);
const char *rd_kafka_topic_result_error_string(const rd_kafka_topic_result_t *);
const char *rd_kafka_topic_result_name(const rd_kafka_topic_result_t *);
]]

-- Its threads may outlive the Lua state at the end of a process: the library must never be unmapped under them.
ffi.cdef "void *dlopen(const char *name, int flags);"
ffi.C.dlopen("librdkafka.so.1", 0x1002)   -- RTLD_NOW | RTLD_NODELETE

return ffi.load "librdkafka.so.1"
