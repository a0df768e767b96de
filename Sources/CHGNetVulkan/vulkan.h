#ifndef HGV_VULKAN_H
#define HGV_VULKAN_H

#include "CHGNetVulkan.h"
#include "vk.h"

// The functions that are used, those that can fail first; each is asked of the library by name.
#define HGV_FALLIBLE(X)                                                                                              \
  X(CreateInstance) X(EnumeratePhysicalDevices) X(EnumerateDeviceExtensionProperties) X(CreateDevice)                \
  X(CreateBuffer) X(AllocateMemory) X(BindBufferMemory) X(MapMemory) X(CreateShaderModule)                           \
  X(CreateDescriptorSetLayout) X(CreatePipelineLayout) X(CreateComputePipelines) X(CreatePipelineCache)              \
  X(GetPipelineCacheData) X(CreateCommandPool) X(AllocateCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer)   \
  X(ResetCommandPool) X(CreateQueryPool) X(GetQueryPoolResults) X(CreateFence) X(ResetFences) X(QueueSubmit)         \
  X(WaitForFences)
#define HGV_INFALLIBLE(X)                                                                                            \
  X(DestroyInstance) X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2)                                   \
  X(GetPhysicalDeviceMemoryProperties2) X(GetPhysicalDeviceQueueFamilyProperties) X(DestroyDevice) X(GetDeviceQueue) \
  X(DestroyBuffer) X(GetBufferMemoryRequirements) X(FreeMemory) X(DestroyShaderModule)                               \
  X(DestroyDescriptorSetLayout) X(DestroyPipelineLayout) X(DestroyPipeline) X(DestroyPipelineCache)                  \
  X(DestroyCommandPool) X(DestroyQueryPool) X(DestroyFence) X(CmdBindPipeline) X(CmdPushConstants)                   \
  X(CmdPushDescriptorSetKHR) X(CmdDispatch) X(CmdPipelineBarrier) X(CmdCopyBuffer) X(CmdWriteTimestamp)              \
  X(CmdResetQueryPool) X(DeviceWaitIdle)

typedef struct {
#define MEMBER(name) PFN_vk##name name;
  HGV_FALLIBLE(MEMBER) HGV_INFALLIBLE(MEMBER)
#undef MEMBER
  PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
  PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR GetPhysicalDeviceCooperativeMatrixPropertiesKHR;
} hgv_table;

enum {
#define NUMBER(name) HGV_CALL_##name,
  HGV_FALLIBLE(NUMBER)
#undef NUMBER
      HGV_CALL_COUNT
};

struct hgv_instance {
  void *library;
  hgv_table table;
  VkInstance instance;
};

struct hgv_device {
  const hgv_table *table;
  VkPhysicalDevice physical;
  VkDevice device;
  VkQueue queue;
  uint32_t family;
  int has_budget, has_subgroup_size;
  uint32_t largest_subgroup;
  VkPhysicalDeviceMemoryProperties memory;
  VkDescriptorSetLayout set;
  VkPipelineLayout layout;
  VkPipelineCache cache;
};

struct hgv_buffer {
  hgv_device *device;
  VkBuffer buffer;
  VkDeviceMemory memory;
  void *bytes;
};

struct hgv_pipeline {
  hgv_device *device;
  VkPipeline pipeline;
};

struct hgv_commands {
  hgv_device *device;
  VkCommandPool pool;
  VkCommandBuffer buffer;
  VkFence fence;
  VkQueryPool queries;
  uint32_t times;
  int is_running;
};

/// What a test wants the call to return; VK_SUCCESS when it is to be made.
VkResult hgv_planned_result(int call);

/// The fault that a test has planted.
int hgv_planted_fault(void);

// Makes a call, or fails as a test wants it to.
#define HGV_TRY(table, name, ...)                                              \
  hgv_checked(                                                                 \
      hgv_planned_result(HGV_CALL_##name) ?: (table)->name(__VA_ARGS__), "vk" #name)

static inline hgv_status hgv_checked(VkResult result, const char *call) { return (hgv_status){result, call}; }

/// Whether a device has an extension; the list is read by the caller.
int hgv_has_extension(const VkExtensionProperties *list, uint32_t count, const char *name);
/// Reads the extensions of a device; give the list back with free.
hgv_status hgv_extensions(
    const hgv_table *table, VkPhysicalDevice device, VkExtensionProperties **list, uint32_t *count);
/// The number of the family of queues that computes, those that do nothing else first; UINT32_MAX without one.
uint32_t hgv_compute_family(const hgv_table *table, VkPhysicalDevice device);

#endif
