#include "vulkan.h"

#include <stdlib.h>

hgv_status hgv_pipeline_make(
    hgv_device *device, const hgv_shader *shader, const uint32_t *constants, uint32_t count, uint32_t subgroup,
    hgv_pipeline **target) {
  const hgv_table *table = device->table;
  VkSpecializationMapEntry entries[16];
  if (count > 16) count = 16;
  for (uint32_t i = 0; i < count; i++) entries[i] = (VkSpecializationMapEntry){i, 4 * i, 4};
  VkSpecializationInfo specialization = {count, entries, 4 * count, constants};
  VkShaderModuleCreateInfo code = {
      VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = shader->size, .pCode = shader->code};
  VkShaderModule module;
  hgv_status status = HGV_TRY(table, CreateShaderModule, device->device, &code, NULL, &module);
  if (status.result != VK_SUCCESS) return status;
  hgv_pipeline *pipeline = calloc(1, sizeof *pipeline);
  if (!pipeline) {
    table->DestroyShaderModule(device->device, module, NULL);
    return hgv_checked(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
  }
  pipeline->device = device;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
      VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, .requiredSubgroupSize = subgroup};
  int is_sized = subgroup != 0 && device->has_subgroup_size;
  VkComputePipelineCreateInfo information = {
      VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .stage = {
          VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, is_sized ? &size : NULL,
          is_sized ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0, VK_SHADER_STAGE_COMPUTE_BIT,
          module, "main", count ? &specialization : NULL},
      .layout = device->layout};
  status = HGV_TRY(
      table, CreateComputePipelines, device->device, device->cache, 1, &information, NULL, &pipeline->pipeline);
  table->DestroyShaderModule(device->device, module, NULL);
  if (status.result != VK_SUCCESS) {
    free(pipeline);
    return status;
  }
  *target = pipeline;
  return status;
}

void hgv_pipeline_destroy(hgv_pipeline *pipeline) {
  if (!pipeline) return;
  pipeline->device->table->DestroyPipeline(pipeline->device->device, pipeline->pipeline, NULL);
  free(pipeline);
}

hgv_status hgv_commands_make(hgv_device *device, uint32_t times, hgv_commands **target) {
  const hgv_table *table = device->table;
  hgv_commands *commands = calloc(1, sizeof *commands);
  if (!commands) return hgv_checked(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
  commands->device = device;
  commands->times = times;
  VkCommandPoolCreateInfo pool = {
      VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = device->family};
  hgv_status status = HGV_TRY(table, CreateCommandPool, device->device, &pool, NULL, &commands->pool);
  if (status.result != VK_SUCCESS) commands->pool = VK_NULL_HANDLE;
  if (status.result == VK_SUCCESS) {
    VkCommandBufferAllocateInfo allocation = {
        VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = commands->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1};
    status = HGV_TRY(table, AllocateCommandBuffers, device->device, &allocation, &commands->buffer);
  }
  if (status.result == VK_SUCCESS) {
    VkFenceCreateInfo fence = {VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    status = HGV_TRY(table, CreateFence, device->device, &fence, NULL, &commands->fence);
    if (status.result != VK_SUCCESS) commands->fence = VK_NULL_HANDLE;
  }
  if (status.result == VK_SUCCESS && times > 0) {
    VkQueryPoolCreateInfo queries = {
        VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = times};
    status = HGV_TRY(table, CreateQueryPool, device->device, &queries, NULL, &commands->queries);
    if (status.result != VK_SUCCESS) commands->queries = VK_NULL_HANDLE;
  }
  if (status.result == VK_SUCCESS) status = hgv_commands_restart(commands);
  if (status.result != VK_SUCCESS) {
    hgv_commands_destroy(commands);
    return status;
  }
  *target = commands;
  return status;
}

// Whatever went wrong before: the device must be done with them.
void hgv_commands_finish(hgv_commands *commands) {
  if (!commands->is_running) return;
  commands->device->table->WaitForFences(commands->device->device, 1, &commands->fence, VK_TRUE, UINT64_MAX);
  commands->is_running = 0;
}

void hgv_commands_destroy(hgv_commands *commands) {
  if (!commands) return;
  const hgv_table *table = commands->device->table;
  VkDevice device = commands->device->device;
  hgv_commands_finish(commands);
  table->DestroyQueryPool(device, commands->queries, NULL);
  table->DestroyFence(device, commands->fence, NULL);
  table->DestroyCommandPool(device, commands->pool, NULL);
  free(commands);
}

hgv_status hgv_commands_restart(hgv_commands *commands) {
  const hgv_table *table = commands->device->table;
  hgv_commands_finish(commands);
  hgv_status status = HGV_TRY(table, ResetCommandPool, commands->device->device, commands->pool, 0);
  if (status.result != VK_SUCCESS) return status;
  VkCommandBufferBeginInfo begin = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  status = HGV_TRY(table, BeginCommandBuffer, commands->buffer, &begin);
  if (status.result == VK_SUCCESS && commands->times > 0) {
    table->CmdResetQueryPool(commands->buffer, commands->queries, 0, commands->times);
  }
  return status;
}

void hgv_record_copy(
    hgv_commands *commands, hgv_buffer *source, uint64_t source_offset, hgv_buffer *target, uint64_t target_offset,
    uint64_t size) {
  VkBufferCopy region = {source_offset, target_offset, size};
  commands->device->table->CmdCopyBuffer(commands->buffer, source->buffer, target->buffer, 1, &region);
}

static void record_barrier(hgv_commands *commands, VkPipelineStageFlags after, VkAccessFlags access) {
  if (hgv_planted_fault() == HGV_FAULT_BARRIER) return;
  VkMemoryBarrier barrier = {
      VK_STRUCTURE_TYPE_MEMORY_BARRIER, NULL, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, access};
  commands->device->table->CmdPipelineBarrier(
      commands->buffer, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, after, 0, 1, &barrier, 0,
      NULL, 0, NULL);
}

void hgv_record_barrier(hgv_commands *commands) {
  record_barrier(
      commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
      VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
          VK_ACCESS_TRANSFER_WRITE_BIT);
}

void hgv_record_end_for_host(hgv_commands *commands) {
  record_barrier(commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

void hgv_record_time(hgv_commands *commands, uint32_t number) {
  commands->device->table->CmdWriteTimestamp(
      commands->buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, commands->queries, number);
}

void hgv_record_dispatch(
    hgv_commands *commands, hgv_pipeline *pipeline, const hgv_binding bindings[HGV_BINDINGS], const hgv_step *step,
    const uint32_t groups[3]) {
  const hgv_table *table = commands->device->table;
  VkDescriptorBufferInfo buffers[HGV_BINDINGS];
  VkWriteDescriptorSet writes[HGV_BINDINGS];
  for (uint32_t i = 0; i < HGV_BINDINGS; i++) {
    int is_short = i == 3 && hgv_planted_fault() == HGV_FAULT_RANGE;
    buffers[i] = (VkDescriptorBufferInfo){
        bindings[i].buffer->buffer, bindings[i].offset, bindings[i].size - (is_short ? 16 : 0)};
    writes[i] = (VkWriteDescriptorSet){
        VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstBinding = i, .descriptorCount = 1,
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = &buffers[i]};
  }
  VkPipelineLayout layout = commands->device->layout;
  table->CmdBindPipeline(commands->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->pipeline);
  table->CmdPushDescriptorSetKHR(
      commands->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, HGV_BINDINGS, writes);
  table->CmdPushConstants(commands->buffer, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof *step, step);
  table->CmdDispatch(commands->buffer, groups[0], groups[1], groups[2]);
}

hgv_status hgv_commands_end(hgv_commands *commands) {
  return HGV_TRY(commands->device->table, EndCommandBuffer, commands->buffer);
}

hgv_status hgv_submit(hgv_commands *commands) {
  const hgv_table *table = commands->device->table;
  hgv_commands_finish(commands);
  hgv_status status = HGV_TRY(table, ResetFences, commands->device->device, 1, &commands->fence);
  if (status.result != VK_SUCCESS) return status;
  VkSubmitInfo submission = {
      VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands->buffer};
  status = HGV_TRY(table, QueueSubmit, commands->device->queue, 1, &submission, commands->fence);
  commands->is_running = status.result == VK_SUCCESS;
  return status;
}

hgv_status hgv_wait(hgv_commands *commands) {
  hgv_status status = HGV_TRY(
      commands->device->table, WaitForFences, commands->device->device, 1, &commands->fence, VK_TRUE, UINT64_MAX);
  if (status.result == VK_SUCCESS) commands->is_running = 0;
  return status;
}

hgv_status hgv_commands_times(hgv_commands *commands, uint64_t *times) {
  if (commands->times == 0) return hgv_checked(VK_SUCCESS, NULL);
  return HGV_TRY(
      commands->device->table, GetQueryPoolResults, commands->device->device, commands->queries, 0, commands->times,
      8 * (size_t)commands->times, times, 8, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
}

const hgv_shader *hgv_all_shaders(void) { return hgv_shaders; }
