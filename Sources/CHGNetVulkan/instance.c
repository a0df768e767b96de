#include "vulkan.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char hgv_fallible_calls[] =
#define TEXT(name) "vk" #name "\0"
    HGV_FALLIBLE(TEXT)
#undef TEXT
    ;

static atomic_int planned_call = -1, planned_skip, planned_result, planned_count;

int32_t hgv_fail(const char *name, int32_t skip, int32_t result) {
  int call = -1, number = 0;
  for (const char *text = hgv_fallible_calls; name && *text; text += strlen(text) + 1, number++) {
    if (strcmp(text, name) == 0) call = number;
  }
  atomic_store(&planned_call, -1);
  atomic_store(&planned_skip, skip);
  atomic_store(&planned_result, result);
  int32_t count = atomic_exchange(&planned_count, 0);
  atomic_store(&planned_call, call);
  return count;
}

VkResult hgv_planned_result(int call) {
  if (atomic_load_explicit(&planned_call, memory_order_relaxed) != call) return VK_SUCCESS;
  if (atomic_fetch_sub(&planned_skip, 1) > 0) return VK_SUCCESS;
  atomic_fetch_add(&planned_count, 1);
  return atomic_load(&planned_result);
}

static atomic_int planted_fault;

void hgv_plant(int32_t fault) { atomic_store(&planted_fault, fault); }

int hgv_planted_fault(void) { return atomic_load_explicit(&planted_fault, memory_order_relaxed); }

const char *hgv_result_name(int32_t result) {
  switch (result) {
    case VK_NOT_READY: return "VK_NOT_READY";
    case VK_TIMEOUT: return "VK_TIMEOUT";
    case VK_INCOMPLETE: return "VK_INCOMPLETE";
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED: return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST: return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED: return "VK_ERROR_MEMORY_MAP_FAILED";
    case VK_ERROR_LAYER_NOT_PRESENT: return "VK_ERROR_LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "VK_ERROR_EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "VK_ERROR_FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "VK_ERROR_INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS: return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_ERROR_UNKNOWN: return "VK_ERROR_UNKNOWN";
    default: return NULL;
  }
}

hgv_status hgv_instance_make(const char *library, hgv_instance **target, char *text, size_t text_size) {
  hgv_instance *instance = calloc(1, sizeof *instance);
  if (!instance) return hgv_checked(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
  hgv_table *table = &instance->table;
  instance->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (instance->library) {
    *(void **)&table->GetInstanceProcAddr = dlsym(instance->library, "vkGetInstanceProcAddr");
  }
  if (!table->GetInstanceProcAddr) {
    const char *reason = instance->library ? "it has no function vkGetInstanceProcAddr" : dlerror();
    snprintf(text, text_size, "%s", reason ? reason : "it cannot be opened");
    hgv_instance_destroy(instance);
    return hgv_checked(HGV_NO_LIBRARY, "dlopen");
  }
  PFN_vkGetInstanceProcAddr address = table->GetInstanceProcAddr;
  PFN_vkEnumerateInstanceVersion ask = (PFN_vkEnumerateInstanceVersion)address(NULL, "vkEnumerateInstanceVersion");
  table->CreateInstance = (PFN_vkCreateInstance)address(NULL, "vkCreateInstance");
  uint32_t version = 0;
  if (!ask || !table->CreateInstance || ask(&version) != VK_SUCCESS || version < VK_API_VERSION_1_1) {
    hgv_instance_destroy(instance);
    return hgv_checked(HGV_OLD_LOADER, "vkEnumerateInstanceVersion");
  }
  VkApplicationInfo application = {
      VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "hgnet", .pEngineName = "hgnet",
      .apiVersion = version < VK_API_VERSION_1_3 ? version : VK_API_VERSION_1_3};
  VkInstanceCreateInfo information = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
  hgv_status status = HGV_TRY(table, CreateInstance, &information, NULL, &instance->instance);
  if (status.result != VK_SUCCESS) {
    instance->instance = VK_NULL_HANDLE;
    hgv_instance_destroy(instance);
    return status;
  }
#define LOAD(name) table->name = (PFN_vk##name)address(instance->instance, "vk" #name);
  HGV_FALLIBLE(LOAD)
  HGV_INFALLIBLE(LOAD)
  LOAD(GetPhysicalDeviceCooperativeMatrixPropertiesKHR)
#undef LOAD
  *target = instance;
  return hgv_checked(VK_SUCCESS, NULL);
}

void hgv_instance_destroy(hgv_instance *instance) {
  if (!instance) return;
  if (instance->instance) instance->table.DestroyInstance(instance->instance, NULL);
  // The library stays: drivers start threads and destructors that outlive an instance.
  free(instance);
}

int hgv_has_extension(const VkExtensionProperties *list, uint32_t count, const char *name) {
  for (uint32_t i = 0; i < count; i++) {
    if (strcmp(list[i].extensionName, name) == 0) return 1;
  }
  return 0;
}

hgv_status hgv_extensions(
    const hgv_table *table, VkPhysicalDevice device, VkExtensionProperties **list, uint32_t *count) {
  *list = NULL;
  hgv_status status = HGV_TRY(table, EnumerateDeviceExtensionProperties, device, NULL, count, NULL);
  if (status.result != VK_SUCCESS || *count == 0) return status;
  *list = calloc(*count, sizeof **list);
  if (!*list) return hgv_checked(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
  status = HGV_TRY(table, EnumerateDeviceExtensionProperties, device, NULL, count, *list);
  if (status.result == VK_SUCCESS || status.result == VK_INCOMPLETE) return hgv_checked(VK_SUCCESS, NULL);
  free(*list);
  *list = NULL;
  return status;
}

uint32_t hgv_compute_family(const hgv_table *table, VkPhysicalDevice device) {
  VkQueueFamilyProperties families[32];
  uint32_t count = 32, found = UINT32_MAX;
  table->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
  for (uint32_t i = 0; i < count; i++) {
    if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0) continue;
    if (found == UINT32_MAX || !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) found = i;
    if (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) break;
  }
  return found;
}

const char *hgv_all_fallible_calls(void) { return hgv_fallible_calls; }
