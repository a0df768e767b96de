// Lets each call of Vulkan fail once on the way through a device's whole life, for AddressSanitizer; see Scripts/check-gpu.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CHGNetVulkan.h"

static int failed;

#define CHECK(call)                                                                                                  \
  do {                                                                                                               \
    hgv_status status = call;                                                                                        \
    if (status.result != 0) {                                                                                        \
      failed = status.result;                                                                                        \
      goto end;                                                                                                      \
    }                                                                                                                \
  } while (0)

// Copies 1000 numbers through a shader; 1 when they arrive.
static int run(void) {
  hgv_instance *instance = NULL;
  hgv_device *device = NULL;
  hgv_buffer *source = NULL, *target = NULL;
  hgv_pipeline *pipeline = NULL;
  hgv_commands *commands = NULL;
  hgv_device_info infos[4];
  uint32_t count = 4, constants[2] = {0, 0}, shader = 0;
  char text[256];
  int arrived = 0;
  failed = 0;
  CHECK(hgv_instance_make("libvulkan.so.1", &instance, text, sizeof text));
  CHECK(hgv_instance_devices(instance, infos, &count));
  CHECK(hgv_device_make(instance, 0, &device));
  hgv_device_load_cache(device, NULL, 0);
  CHECK(hgv_buffer_make(device, 4000, HGV_TO_DEVICE, &source));
  CHECK(hgv_buffer_make(device, 4000, HGV_FROM_DEVICE, &target));
  while (strcmp(hgv_all_shaders()[shader].name, "leave") != 0) shader++;
  CHECK(hgv_pipeline_make(device, hgv_all_shaders() + shader, constants, 0, 0, &pipeline));
  for (int i = 0; i < 1000; i++) ((float *)hgv_buffer_bytes(source))[i] = (float)i;
  CHECK(hgv_commands_make(device, 2, &commands));
  hgv_step step = {.x_stride = 10, .rows = 100, .columns = 10};
  hgv_binding bindings[HGV_BINDINGS];
  for (int i = 0; i < HGV_BINDINGS; i++) bindings[i] = (hgv_binding){i == 3 ? target : source, 0, 4000};
  uint32_t groups[3] = {16, 1, 1};
  hgv_record_time(commands, 0);
  hgv_record_dispatch(commands, pipeline, bindings, &step, groups);
  hgv_record_time(commands, 1);
  hgv_record_end_for_host(commands);
  CHECK(hgv_commands_end(commands));
  CHECK(hgv_submit(commands));
  CHECK(hgv_wait(commands));
  uint64_t times[2];
  CHECK(hgv_commands_times(commands, times));
  size_t size = 0;
  CHECK(hgv_device_cache(device, NULL, &size));
  arrived = memcmp(hgv_buffer_bytes(source), hgv_buffer_bytes(target), 4000) == 0;
end:
  hgv_commands_destroy(commands);
  hgv_pipeline_destroy(pipeline);
  hgv_buffer_destroy(target);
  hgv_buffer_destroy(source);
  hgv_device_destroy(device);
  hgv_instance_destroy(instance);
  return arrived;
}

int main(void) {
  int runs = 0, wrong = 0;
  if (!run()) {
    fprintf(stderr, "the run as it is fails: %d\n", failed);
    return 1;
  }
  for (const char *name = hgv_fallible_calls; *name; name += strlen(name) + 1) {
    for (int skip = 0; skip < 3; skip++) {
      const int results[] = {-1, -2, -4};  // out of host memory, out of device memory, device lost
      hgv_fail(name, skip, results[skip]);
      run();
      int error = failed, count = hgv_fail(NULL, 0, 0);
      if (count == 0) continue;
      runs++;
      if (error != results[skip] && strcmp(name, "vkCreatePipelineCache") != 0) {
        fprintf(stderr, "%s after %d: expected %d, found %d\n", name, skip, results[skip], error);
        wrong++;
      }
    }
  }
  if (!run()) wrong++;
  printf("%d failures let happen, %d wrong\n", runs, wrong);
  return wrong != 0;
}
