// A Vulkan library in front of another, which makes its devices older, smaller or weaker than they are; see
// Scripts/check-gpu. HGNET_TEST_VULKAN names the other one, HGNET_TEST_DEVICE what is changed:
//
//   loader     the library itself has version 1.0
//   version    the device has version 1.0
//   queue      the device has no queue that computes
//   storage    float16 has no place in the device's memory
//   memory:N   the device has N MiB to give, and taking more fails and is said
//   lost:N     the device is lost at the N-th submission
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CHGNetVulkan/vk.h"

static PFN_vkGetInstanceProcAddr address;
static PFN_vkGetPhysicalDeviceProperties2 properties;
static PFN_vkGetPhysicalDeviceFeatures2 features;
static PFN_vkGetPhysicalDeviceMemoryProperties2 memory;
static PFN_vkGetPhysicalDeviceQueueFamilyProperties queues;
static PFN_vkAllocateMemory allocate;
static PFN_vkFreeMemory give_back;
static PFN_vkQueueSubmit submit;

// The number after a kind of change; -1 if it is not wanted.
static long long wanted(const char *kind) {
  const char *text = getenv("HGNET_TEST_DEVICE");
  size_t length = strlen(kind);
  if (!text || strncmp(text, kind, length) != 0) return -1;
  return text[length] == ':' ? atoll(text + length + 1) : 0;
}

static void VKAPI_PTR own_properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *target) {
  properties(device, target);
  if (wanted("version") == 0) target->properties.apiVersion = VK_MAKE_API_VERSION(0, 1, 0, 0);
}

static void VKAPI_PTR own_features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *target) {
  features(device, target);
  for (VkBaseOutStructure *next = target->pNext; next && wanted("storage") == 0; next = next->pNext) {
    if (next->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES) continue;
    ((VkPhysicalDevice16BitStorageFeatures *)next)->storageBuffer16BitAccess = 0;
  }
}

static void VKAPI_PTR own_queues(VkPhysicalDevice device, uint32_t *count, VkQueueFamilyProperties *list) {
  queues(device, count, list);
  for (uint32_t i = 0; list && i < *count && wanted("queue") == 0; i++) list[i].queueFlags = VK_QUEUE_TRANSFER_BIT;
}

// What is taken, with the memory that it was taken for.
static struct { VkDeviceMemory memory; VkDeviceSize size; } blocks[4096];
static VkDeviceSize taken;

static void VKAPI_PTR own_memory(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *target) {
  memory(device, target);
  long long limit = wanted("memory");
  if (limit < 0) return;
  for (VkBaseOutStructure *next = target->pNext; next; next = next->pNext) {
    if (next->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) continue;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = (void *)next;
    for (int i = 0; i < VK_MAX_MEMORY_HEAPS; i++) {
      budget->heapBudget[i] = (VkDeviceSize)limit << 20;
      budget->heapUsage[i] = taken;
    }
  }
}

static VkResult VKAPI_PTR own_allocate(
    VkDevice device, const VkMemoryAllocateInfo *information, const VkAllocationCallbacks *callbacks,
    VkDeviceMemory *target) {
  long long limit = wanted("memory");
  if (limit >= 0 && taken + information->allocationSize > (VkDeviceSize)limit << 20) {
    fprintf(stderr, "devices.c: more than the budget was asked for\n");
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  }
  VkResult result = allocate(device, information, callbacks, target);
  for (int i = 0; i < 4096 && result == VK_SUCCESS; i++) {
    if (blocks[i].size) continue;
    blocks[i].memory = *target;
    blocks[i].size = information->allocationSize;
    taken += information->allocationSize;
    break;
  }
  return result;
}

static void VKAPI_PTR own_give_back(VkDevice device, VkDeviceMemory block, const VkAllocationCallbacks *callbacks) {
  for (int i = 0; i < 4096 && block; i++) {
    if (!blocks[i].size || blocks[i].memory != block) continue;
    taken -= blocks[i].size;
    blocks[i].size = 0;
    break;
  }
  give_back(device, block, callbacks);
}

static atomic_int submissions;

static VkResult VKAPI_PTR own_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *list, VkFence fence) {
  long long last = wanted("lost");
  if (last > 0 && atomic_fetch_add(&submissions, 1) + 1 >= last) return VK_ERROR_DEVICE_LOST;
  return submit(queue, count, list, fence);
}

__attribute__((visibility("default"))) PFN_vkVoidFunction VKAPI_PTR vkGetInstanceProcAddr(
    VkInstance instance, const char *name) {
  if (!address) {
    const char *path = getenv("HGNET_TEST_VULKAN");
    void *library = dlopen(path ? path : "", RTLD_NOW | RTLD_LOCAL);
    if (library) *(void **)&address = dlsym(library, "vkGetInstanceProcAddr");
    if (!address) return NULL;
  }
  if (wanted("loader") == 0 && strcmp(name, "vkEnumerateInstanceVersion") == 0) return NULL;
  PFN_vkVoidFunction found = address(instance, name);
#define FRONT(target, type)                                 \
  if (found && strcmp(name, "vk" #type) == 0) {             \
    target = (PFN_vk##type)found;                           \
    return (PFN_vkVoidFunction)own_##target;                \
  }
  FRONT(properties, GetPhysicalDeviceProperties2)
  FRONT(features, GetPhysicalDeviceFeatures2)
  FRONT(queues, GetPhysicalDeviceQueueFamilyProperties)
  FRONT(memory, GetPhysicalDeviceMemoryProperties2)
  FRONT(allocate, AllocateMemory)
  FRONT(give_back, FreeMemory)
  FRONT(submit, QueueSubmit)
  return found;
}
