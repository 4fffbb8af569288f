/*
 * What plugins of QEMU's TCG call, interface version 1: Debian ships no header for them. Reference:
 * QEMU 7.2, "QEMU TCG Plugins". A plugin that uses more of it adds it here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct tb;
struct insn;
struct info {
    const char *target;
    struct { int least, current; } version;
    bool system;
    struct { int cpus, most; } smp;
};
typedef void executed_fn(unsigned cpu, void *data);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id, const struct info *, int argc, char **argv);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *, executed_fn *, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *, executed_fn *, int, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
uint64_t qemu_plugin_tb_vaddr(const struct tb *);
size_t qemu_plugin_tb_n_insns(const struct tb *);
struct insn *qemu_plugin_tb_get_insn(const struct tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct insn *);
const void *qemu_plugin_insn_data(const struct insn *);
size_t qemu_plugin_insn_size(const struct insn *);
