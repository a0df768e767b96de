#ifndef CHGNETVULKAN_H
#define CHGNETVULKAN_H

// What HGNetGPU needs of Vulkan: thin, without decisions. The library is found at run time; nothing links it.
//
// Whatever can fail returns an hgv_status. A function that makes something leaves nothing behind when it fails. Destroying
// a null pointer does nothing. Threads: an object belongs to one thread at a time; what may be shared says so.

#include <stddef.h>
#include <stdint.h>

/// The outcome of a call: 0, or Vulkan's number with the name of the call.
typedef struct {
  int32_t result;
  const char *call;
} hgv_status;

/// Outcomes of our own, far from Vulkan's.
enum {
  HGV_NO_LIBRARY = -2000000001, /* the library cannot be opened, or is none of Vulkan */
  HGV_OLD_LOADER = -2000000002, /* Vulkan 1.0 only */
  HGV_NO_MEMORY_TYPE = -2000000003,
};

/// The library with an instance of it. Threads: safe to share.
typedef struct hgv_instance hgv_instance;
/// A device that was opened. Threads: safe to share, but for the queue: one hgv_submit at a time.
typedef struct hgv_device hgv_device;
/// A block of memory with the buffer that fills it.
typedef struct hgv_buffer hgv_buffer;
/// A shader with its constants. Threads: safe to share.
typedef struct hgv_pipeline hgv_pipeline;
/// Commands that are recorded once and run again and again.
typedef struct hgv_commands hgv_commands;

enum { HGV_NAME_LENGTH = 256, HGV_MATRIX_SHAPES = 16 };

/// The type of a device, as VkPhysicalDeviceType has it.
enum { HGV_TYPE_OTHER, HGV_TYPE_INTEGRATED, HGV_TYPE_DISCRETE, HGV_TYPE_VIRTUAL, HGV_TYPE_CPU };

/// A size of cooperative matrices with float16 factors and float32 sums.
typedef struct {
  uint32_t rows, columns, depth;
} hgv_matrix_shape;

/// What a device is and can do; numbers are 0 where it cannot.
typedef struct {
  char name[HGV_NAME_LENGTH], driver[HGV_NAME_LENGTH];
  uint32_t type;
  uint32_t api_major, api_minor, driver_version, vendor, device;
  uint8_t cache_id[16];
  /// Of the memory that is nearest to the device: its size, and what the system would give now (0: not told).
  uint64_t memory, budget;
  /// The largest range of a binding, and of an allocation.
  uint64_t largest_range, largest_allocation;
  uint32_t range_alignment;
  uint32_t shared_memory, invocations, groups[3];
  uint32_t smallest_subgroup, largest_subgroup;
  /// Nanoseconds between the ticks of its clock; 0 where there is none.
  float tick;
  int32_t has_compute_queue, has_push_descriptors, has_float16, has_subgroup_size;
  uint32_t matrix_shape_count;
  hgv_matrix_shape matrix_shapes[HGV_MATRIX_SHAPES];
} hgv_device_info;

/// What a call of the library does next, for tests.
///
/// The call `name` (such as "vkCreateBuffer") returns `result` instead of being made, once `skip` calls of it have been
/// made, until hgv_fail(NULL, 0, 0). Returns how often that happened since the last hgv_fail. Threads: safe.
int32_t hgv_fail(const char *name, int32_t skip, int32_t result);
/// The names of the calls that can fail, each ended by a zero byte, an empty one last.
extern const char hgv_fallible_calls[];
const char *hgv_all_fallible_calls(void);
/// Faults that tests plant to see that validation layers find them: no barriers, buffers that are never given back,
/// ranges of results that are 16 bytes short.
enum { HGV_FAULT_NONE, HGV_FAULT_BARRIER, HGV_FAULT_LEAK, HGV_FAULT_RANGE };
/// Plants a fault from now on. Threads: safe.
void hgv_plant(int32_t fault);

/// Opens the library and makes an instance; `text` receives why it could not be opened.
hgv_status hgv_instance_make(const char *library, hgv_instance **instance, char *text, size_t text_size);
void hgv_instance_destroy(hgv_instance *instance);
/// Describes at most *count devices and writes how many there are.
hgv_status hgv_instance_devices(hgv_instance *instance, hgv_device_info *infos, uint32_t *count);

/// Opens a device by its number in the list, with what hgv_device_info says it can.
hgv_status hgv_device_make(hgv_instance *instance, uint32_t number, hgv_device **device);
/// Waits for the device, then gives it back.
void hgv_device_destroy(hgv_device *device);
/// What the system would give of the device's memory now; 0 where that is not told.
uint64_t hgv_device_budget(hgv_device *device);
/// Begins a store of compiled shaders with what an earlier one held, if the driver takes it.
hgv_status hgv_device_load_cache(hgv_device *device, const void *bytes, size_t size);
/// Copies the store; with a null pointer writes its size only.
hgv_status hgv_device_cache(hgv_device *device, void *bytes, size_t *size);

/// Whose memory a buffer is.
enum { HGV_OF_DEVICE, HGV_TO_DEVICE, HGV_FROM_DEVICE };

hgv_status hgv_buffer_make(hgv_device *device, uint64_t size, int32_t kind, hgv_buffer **buffer);
void hgv_buffer_destroy(hgv_buffer *buffer);
/// Where the host sees it; null for memory of the device.
void *hgv_buffer_bytes(hgv_buffer *buffer);

/// A compiled shader of ours.
typedef struct {
  const char *name;
  uint32_t values, is_half;
  const uint32_t *code;
  size_t size;
} hgv_shader;

extern const hgv_shader hgv_shaders[];
extern const uint32_t hgv_shader_count;
/// The first of them, since Swift does not see an array of unknown length.
const hgv_shader *hgv_all_shaders(void);

/// The numbers of a step, as Shaders/common.glsl has them.
typedef struct {
  uint32_t x_offset, x_stride, height, width, channels;
  uint32_t y_offset, y_stride, out_height, out_width, columns;
  uint32_t r_offset, r_stride;
  uint32_t kernel_height, kernel_width, stride_height, stride_width, top, left;
  uint32_t rows, group;
  uint32_t flags, kind;
  float scale, shift;
} hgv_step;

/// Compiles a shader with the constants 0 … count - 1; a subgroup size of 0 leaves it to the device.
hgv_status hgv_pipeline_make(
    hgv_device *device, const hgv_shader *shader, const uint32_t *constants, uint32_t count, uint32_t subgroup,
    hgv_pipeline **pipeline);
void hgv_pipeline_destroy(hgv_pipeline *pipeline);

enum { HGV_BINDINGS = 5 };

/// A range of a buffer.
typedef struct {
  hgv_buffer *buffer;
  uint64_t offset, size;
} hgv_binding;

/// Makes commands with room for some times, and begins to record.
hgv_status hgv_commands_make(hgv_device *device, uint32_t times, hgv_commands **commands);
/// Waits until they have run, then gives them back.
void hgv_commands_destroy(hgv_commands *commands);
/// Waits until they have run, whatever went wrong before; what they use may be given back then.
void hgv_commands_finish(hgv_commands *commands);
/// Begins to record anew.
hgv_status hgv_commands_restart(hgv_commands *commands);
void hgv_record_copy(
    hgv_commands *commands, hgv_buffer *source, uint64_t source_offset, hgv_buffer *target, uint64_t target_offset,
    uint64_t size);
/// What follows waits for what was recorded before and sees what it wrote.
void hgv_record_barrier(hgv_commands *commands);
/// The host sees what was written once the commands have run.
void hgv_record_end_for_host(hgv_commands *commands);
void hgv_record_time(hgv_commands *commands, uint32_t number);
void hgv_record_dispatch(
    hgv_commands *commands, hgv_pipeline *pipeline, const hgv_binding bindings[HGV_BINDINGS], const hgv_step *step,
    const uint32_t groups[3]);
hgv_status hgv_commands_end(hgv_commands *commands);
/// Gives the commands to the queue.
hgv_status hgv_submit(hgv_commands *commands);
/// Waits until they have run.
hgv_status hgv_wait(hgv_commands *commands);
/// The device's clock at each recorded time, in ticks.
hgv_status hgv_commands_times(hgv_commands *commands, uint64_t *times);

/// Rounds to float16, ties to even; 0 when a finite number becomes infinite.
int32_t hgv_halves(const float *source, uint16_t *target, size_t count);

/// Vulkan's name of a result; null for one that it does not have.
const char *hgv_result_name(int32_t result);

#endif
