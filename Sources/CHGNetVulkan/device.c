#include "vulkan.h"

#include <stdlib.h>
#include <string.h>

// What of the features is asked for, one after the other.
typedef struct {
  VkPhysicalDeviceFeatures2 all;
  VkPhysicalDevice16BitStorageFeatures storage;
  VkPhysicalDeviceShaderFloat16Int8Features arithmetic;
  VkPhysicalDeviceSubgroupSizeControlFeatures subgroups;
  VkPhysicalDeviceVulkanMemoryModelFeatures model;
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices;
} features;

static void *append(void *chain, void *next) {
  VkBaseOutStructure *last = chain;
  while (last->pNext) last = last->pNext;
  last->pNext = next;
  return next;
}

// Prepares the question for what the device knows.
static void prepare(features *f, uint32_t version, const VkExtensionProperties *list, uint32_t count) {
  *f = (features){
      {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2},
      {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES},
      {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES},
      {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES},
      {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES},
      {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR}};
  append(&f->all, &f->storage);
  if (version >= VK_API_VERSION_1_2) {
    append(&f->all, &f->arithmetic);
    append(&f->all, &f->model);
  }
  if (version >= VK_API_VERSION_1_3) append(&f->all, &f->subgroups);
  if (hgv_has_extension(list, count, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) append(&f->all, &f->matrices);
}

static uint64_t nearest_memory(const VkPhysicalDeviceMemoryProperties *memory, uint32_t *heap) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < memory->memoryHeapCount; i++) {
    if (!(memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) || memory->memoryHeaps[i].size <= most) {
      continue;
    }
    most = memory->memoryHeaps[i].size;
    *heap = i;
  }
  return most;
}

static uint64_t budget(const hgv_table *table, VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties *memory) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budgets = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, &budgets};
  table->GetPhysicalDeviceMemoryProperties2(device, &properties);
  if (memory) *memory = properties.memoryProperties;
  uint32_t heap = 0;
  if (nearest_memory(&properties.memoryProperties, &heap) == 0) return 0;
  uint64_t given = budgets.heapBudget[heap], used = budgets.heapUsage[heap];
  return given > used ? given - used : given ? 1 : 0;
}

static void describe_matrices(const hgv_table *table, VkPhysicalDevice device, hgv_device_info *info) {
  uint32_t count = 0;
  PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR ask = table->GetPhysicalDeviceCooperativeMatrixPropertiesKHR;
  if (!ask || ask(device, &count, NULL) != VK_SUCCESS || count == 0) return;
  VkCooperativeMatrixPropertiesKHR *list = calloc(count, sizeof *list);
  if (!list) return;
  for (uint32_t i = 0; i < count; i++) list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
  if (ask(device, &count, list) == VK_SUCCESS) {
    for (uint32_t i = 0; i < count && info->matrix_shape_count < HGV_MATRIX_SHAPES; i++) {
      if (list[i].AType != VK_COMPONENT_TYPE_FLOAT16_KHR || list[i].BType != VK_COMPONENT_TYPE_FLOAT16_KHR ||
          list[i].CType != VK_COMPONENT_TYPE_FLOAT32_KHR || list[i].ResultType != VK_COMPONENT_TYPE_FLOAT32_KHR ||
          list[i].scope != VK_SCOPE_SUBGROUP_KHR) {
        continue;
      }
      info->matrix_shapes[info->matrix_shape_count++] =
          (hgv_matrix_shape){list[i].MSize, list[i].NSize, list[i].KSize};
    }
  }
  free(list);
}

static hgv_status describe(const hgv_table *table, VkPhysicalDevice device, hgv_device_info *info) {
  memset(info, 0, sizeof *info);
  VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
  VkPhysicalDeviceDriverProperties driver = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
  VkPhysicalDeviceSubgroupProperties subgroups = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
  VkPhysicalDeviceMaintenance3Properties largest = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
  VkPhysicalDeviceProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  table->GetPhysicalDeviceProperties2(device, &properties);
  uint32_t version = properties.properties.apiVersion;
  info->api_major = VK_API_VERSION_MAJOR(version);
  info->api_minor = VK_API_VERSION_MINOR(version);
  memcpy(info->name, properties.properties.deviceName, sizeof info->name - 1);
  info->type = properties.properties.deviceType;
  if (version < VK_API_VERSION_1_1) return hgv_checked(VK_SUCCESS, NULL);
  append(&properties, &subgroups);
  append(&properties, &largest);
  if (version >= VK_API_VERSION_1_2) append(&properties, &driver);
  if (version >= VK_API_VERSION_1_3) append(&properties, &sizes);
  table->GetPhysicalDeviceProperties2(device, &properties);
  const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
  VkExtensionProperties *list;
  uint32_t count = 0;
  hgv_status status = hgv_extensions(table, device, &list, &count);
  if (status.result != VK_SUCCESS) return status;
  features f;
  prepare(&f, version, list, count);
  table->GetPhysicalDeviceFeatures2(device, &f.all);
  strncpy(info->driver, driver.driverName, sizeof info->driver - 2);
  if (driver.driverInfo[0]) {
    strncat(info->driver, " ", sizeof info->driver - strlen(info->driver) - 1);
    strncat(info->driver, driver.driverInfo, sizeof info->driver - strlen(info->driver) - 1);
  }
  info->driver_version = properties.properties.driverVersion;
  info->vendor = properties.properties.vendorID;
  info->device = properties.properties.deviceID;
  memcpy(info->cache_id, properties.properties.pipelineCacheUUID, sizeof info->cache_id);
  VkPhysicalDeviceMemoryProperties memory;
  uint64_t left = budget(table, device, &memory);
  uint32_t heap;
  info->memory = nearest_memory(&memory, &heap);
  info->budget = hgv_has_extension(list, count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME) ? left : 0;
  info->largest_range = limits->maxStorageBufferRange;
  info->largest_allocation = largest.maxMemoryAllocationSize;
  info->range_alignment = (uint32_t)limits->minStorageBufferOffsetAlignment;
  info->shared_memory = limits->maxComputeSharedMemorySize;
  info->invocations = limits->maxComputeWorkGroupInvocations;
  memcpy(info->groups, limits->maxComputeWorkGroupCount, sizeof info->groups);
  info->has_subgroup_size = f.subgroups.subgroupSizeControl && f.subgroups.computeFullSubgroups;
  info->smallest_subgroup = info->has_subgroup_size ? sizes.minSubgroupSize : subgroups.subgroupSize;
  info->largest_subgroup = info->has_subgroup_size ? sizes.maxSubgroupSize : subgroups.subgroupSize;
  info->tick = limits->timestampComputeAndGraphics ? limits->timestampPeriod : 0;
  info->has_compute_queue = hgv_compute_family(table, device) != UINT32_MAX;
  info->has_push_descriptors = hgv_has_extension(list, count, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME);
  info->has_float16 = f.storage.storageBuffer16BitAccess && f.arithmetic.shaderFloat16;
  if (f.matrices.cooperativeMatrix && f.model.vulkanMemoryModel && info->has_float16 && info->has_subgroup_size) {
    describe_matrices(table, device, info);
  }
  free(list);
  return hgv_checked(VK_SUCCESS, NULL);
}

static hgv_status physical_devices(hgv_instance *instance, VkPhysicalDevice *devices, uint32_t *count) {
  hgv_status status = HGV_TRY(&instance->table, EnumeratePhysicalDevices, instance->instance, count, devices);
  if (status.result == VK_INCOMPLETE) status.result = VK_SUCCESS;
  return status;
}

hgv_status hgv_instance_devices(hgv_instance *instance, hgv_device_info *infos, uint32_t *count) {
  VkPhysicalDevice devices[64];
  uint32_t found = 64;
  hgv_status status = physical_devices(instance, devices, &found);
  if (status.result != VK_SUCCESS) return status;
  for (uint32_t i = 0; i < found && i < *count; i++) {
    status = describe(&instance->table, devices[i], &infos[i]);
    if (status.result != VK_SUCCESS) return status;
  }
  *count = found;
  return status;
}

static hgv_status make_layouts(hgv_device *device) {
  VkDescriptorSetLayoutBinding bindings[HGV_BINDINGS];
  for (uint32_t i = 0; i < HGV_BINDINGS; i++) {
    bindings[i] = (VkDescriptorSetLayoutBinding){
        i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
  }
  VkDescriptorSetLayoutCreateInfo set = {
      VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
      .flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR, .bindingCount = HGV_BINDINGS, .pBindings = bindings};
  hgv_status status = HGV_TRY(device->table, CreateDescriptorSetLayout, device->device, &set, NULL, &device->set);
  if (status.result != VK_SUCCESS) return status;
  VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(hgv_step)};
  VkPipelineLayoutCreateInfo layout = {
      VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &device->set,
      .pushConstantRangeCount = 1, .pPushConstantRanges = &range};
  return HGV_TRY(device->table, CreatePipelineLayout, device->device, &layout, NULL, &device->layout);
}

static hgv_status make_device(hgv_device *device) {
  const hgv_table *table = device->table;
  VkPhysicalDeviceProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  table->GetPhysicalDeviceProperties2(device->physical, &properties);
  VkExtensionProperties *list;
  uint32_t count = 0;
  hgv_status status = hgv_extensions(table, device->physical, &list, &count);
  if (status.result != VK_SUCCESS) return status;
  features f, wanted;
  prepare(&f, properties.properties.apiVersion, list, count);
  table->GetPhysicalDeviceFeatures2(device->physical, &f.all);
  prepare(&wanted, properties.properties.apiVersion, list, count);
  wanted.storage.storageBuffer16BitAccess = f.storage.storageBuffer16BitAccess;
  wanted.arithmetic.shaderFloat16 = f.arithmetic.shaderFloat16;
  wanted.subgroups.subgroupSizeControl = f.subgroups.subgroupSizeControl;
  wanted.subgroups.computeFullSubgroups = f.subgroups.computeFullSubgroups;
  wanted.model.vulkanMemoryModel = f.model.vulkanMemoryModel;
  wanted.model.vulkanMemoryModelDeviceScope = f.model.vulkanMemoryModelDeviceScope;
  wanted.matrices.cooperativeMatrix = f.matrices.cooperativeMatrix;
  device->has_subgroup_size = f.subgroups.subgroupSizeControl && f.subgroups.computeFullSubgroups;
  device->has_budget = hgv_has_extension(list, count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  const char *names[3] = {VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME};
  uint32_t name_count = 1;
  if (device->has_budget) names[name_count++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
  if (f.matrices.cooperativeMatrix) names[name_count++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
  free(list);
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {
      VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = device->family, .queueCount = 1,
      .pQueuePriorities = &priority};
  VkDeviceCreateInfo information = {
      VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &wanted.all, .queueCreateInfoCount = 1,
      .pQueueCreateInfos = &queue, .enabledExtensionCount = name_count, .ppEnabledExtensionNames = names};
  status = HGV_TRY(table, CreateDevice, device->physical, &information, NULL, &device->device);
  if (status.result != VK_SUCCESS) device->device = VK_NULL_HANDLE;
  return status;
}

hgv_status hgv_device_make(hgv_instance *instance, uint32_t number, hgv_device **target) {
  VkPhysicalDevice devices[64];
  uint32_t count = 64;
  hgv_status status = physical_devices(instance, devices, &count);
  if (status.result != VK_SUCCESS) return status;
  if (number >= count) return hgv_checked(VK_ERROR_INITIALIZATION_FAILED, "vkEnumeratePhysicalDevices");
  hgv_device *device = calloc(1, sizeof *device);
  if (!device) return hgv_checked(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
  device->table = &instance->table;
  device->physical = devices[number];
  device->family = hgv_compute_family(device->table, device->physical);
  if (device->family == UINT32_MAX) {
    free(device);
    return hgv_checked(VK_ERROR_FEATURE_NOT_PRESENT, "vkGetPhysicalDeviceQueueFamilyProperties");
  }
  budget(device->table, device->physical, &device->memory);
  status = make_device(device);
  if (status.result == VK_SUCCESS) {
    device->table->GetDeviceQueue(device->device, device->family, 0, &device->queue);
    status = make_layouts(device);
  }
  if (status.result != VK_SUCCESS) {
    hgv_device_destroy(device);
    return status;
  }
  *target = device;
  return status;
}

void hgv_device_destroy(hgv_device *device) {
  if (!device) return;
  if (device->device) {
    const hgv_table *table = device->table;
    table->DeviceWaitIdle(device->device);
    table->DestroyPipelineCache(device->device, device->cache, NULL);
    table->DestroyPipelineLayout(device->device, device->layout, NULL);
    table->DestroyDescriptorSetLayout(device->device, device->set, NULL);
    table->DestroyDevice(device->device, NULL);
  }
  free(device);
}

uint64_t hgv_device_budget(hgv_device *device) {
  return device->has_budget ? budget(device->table, device->physical, NULL) : 0;
}

hgv_status hgv_device_load_cache(hgv_device *device, const void *bytes, size_t size) {
  VkPipelineCacheCreateInfo information = {
      VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = size, .pInitialData = bytes};
  hgv_status status = HGV_TRY(device->table, CreatePipelineCache, device->device, &information, NULL, &device->cache);
  if (status.result != VK_SUCCESS) device->cache = VK_NULL_HANDLE;
  return status;
}

hgv_status hgv_device_cache(hgv_device *device, void *bytes, size_t *size) {
  if (!device->cache) {
    *size = 0;
    return hgv_checked(VK_SUCCESS, NULL);
  }
  return HGV_TRY(device->table, GetPipelineCacheData, device->device, device->cache, size, bytes);
}
