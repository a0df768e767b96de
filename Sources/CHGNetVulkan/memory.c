#include "vulkan.h"

#include <stdlib.h>

// The first type of memory with all of some properties; UINT32_MAX without one.
static uint32_t memory_type(const hgv_device *device, uint32_t allowed, VkMemoryPropertyFlags wanted) {
  for (uint32_t i = 0; i < device->memory.memoryTypeCount; i++) {
    if ((allowed >> i & 1) && (device->memory.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
  }
  return UINT32_MAX;
}

hgv_status hgv_buffer_make(hgv_device *device, uint64_t size, int32_t kind, hgv_buffer **target) {
  const hgv_table *table = device->table;
  hgv_buffer *buffer = calloc(1, sizeof *buffer);
  if (!buffer) return hgv_checked(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
  buffer->device = device;
  VkBufferCreateInfo information = {
      VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size,
      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
          VK_BUFFER_USAGE_TRANSFER_DST_BIT};
  hgv_status status = HGV_TRY(table, CreateBuffer, device->device, &information, NULL, &buffer->buffer);
  if (status.result != VK_SUCCESS) {
    free(buffer);
    return status;
  }
  VkMemoryRequirements needs;
  table->GetBufferMemoryRequirements(device->device, buffer->buffer, &needs);
  const VkMemoryPropertyFlags seen = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  uint32_t type = memory_type(
      device, needs.memoryTypeBits,
      kind == HGV_OF_DEVICE ? VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
      : kind == HGV_FROM_DEVICE ? seen | VK_MEMORY_PROPERTY_HOST_CACHED_BIT : seen);
  if (type == UINT32_MAX) type = memory_type(device, needs.memoryTypeBits, kind == HGV_OF_DEVICE ? 0 : seen);
  if (type == UINT32_MAX) {
    status = hgv_checked(HGV_NO_MEMORY_TYPE, "vkGetBufferMemoryRequirements");
  } else {
    VkMemoryAllocateInfo allocation = {VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, NULL, needs.size, type};
    status = HGV_TRY(table, AllocateMemory, device->device, &allocation, NULL, &buffer->memory);
    if (status.result != VK_SUCCESS) buffer->memory = VK_NULL_HANDLE;
  }
  if (status.result == VK_SUCCESS) {
    status = HGV_TRY(table, BindBufferMemory, device->device, buffer->buffer, buffer->memory, 0);
  }
  if (status.result == VK_SUCCESS && kind != HGV_OF_DEVICE) {
    status = HGV_TRY(table, MapMemory, device->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->bytes);
  }
  if (status.result != VK_SUCCESS) {
    hgv_buffer_destroy(buffer);
    return status;
  }
  *target = buffer;
  return status;
}

void hgv_buffer_destroy(hgv_buffer *buffer) {
  if (!buffer) return;
  const hgv_table *table = buffer->device->table;
  if (hgv_planted_fault() == HGV_FAULT_LEAK) return;
  table->DestroyBuffer(buffer->device->device, buffer->buffer, NULL);
  // Giving memory back unmaps it.
  table->FreeMemory(buffer->device->device, buffer->memory, NULL);
  free(buffer);
}

void *hgv_buffer_bytes(hgv_buffer *buffer) { return buffer->bytes; }

int32_t hgv_halves(const float *source, uint16_t *target, size_t count) {
  int32_t is_finite = 1;
  for (size_t i = 0; i < count; i++) {
    union { float value; uint32_t bits; } number = {source[i]};
    uint32_t sign = number.bits >> 16 & 0x8000, magnitude = number.bits & 0x7FFFFFFF;
    uint32_t half;
    if (magnitude >= 0x7F800000) {
      half = magnitude > 0x7F800000 ? 0x7E00 : 0x7C00;
    } else if (magnitude >= 0x477FF000) {
      half = 0x7C00;
      is_finite = 0;
    } else if (magnitude < 0x38800000) {
      // Below the normal numbers: float32's own rounding of a sum with 1/2 leaves what float16 can hold.
      number.bits = magnitude;
      number.value += 0.5f;
      half = number.bits - 0x3F000000;
    } else {
      half = (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    }
    target[i] = (uint16_t)(sign | half);
  }
  return is_finite;
}
