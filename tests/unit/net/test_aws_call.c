/* src/net/aws_call: what refusals mean (bodies as AWS' API references show them), bodies of the query protocol. */
#include "base/mem.h"
#include "net/aws_call.h"
#include "net/xml.h"
#include <cmocka.h>
#include <string.h>

static void refusal_is(int status, const char *type, const char *body, enum tr_aws_result result, const char *code,
                       const char *text) {
  char headers[200];
  struct tr_aws_answer a = {0};
  struct tr_http_reply reply = {.status = status, .body = (uint8_t *)(uintptr_t)body, .body_bytes = strlen(body)};
  if (type) {
    static const char name[] = "x-amzn-errortype";
    memcpy(headers, name, sizeof name);
    memcpy(headers + sizeof name, type, strlen(type) + 1);
    reply.headers = headers;
    reply.headers_bytes = sizeof name + strlen(type) + 1;
  }
  tr_aws_read_refusal(&reply, "ecs", "RunTask", &a);
  assert_int_equal(a.result, result);
  assert_string_equal(a.code, code);
  assert_non_null(strstr(a.text, text));
  assert_non_null(strstr(a.text, "ecs RunTask"));
}

static void refusals(void **state) {
  (void)state;
  refusal_is(400, NULL,
             "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"
             "<Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>",
             TR_AWS_THROTTLED, "Throttling", "Rate exceeded");
  /* EC2 nests its errors otherwise. */
  refusal_is(
      400, NULL,
      "<Response><Errors><Error><Code>InvalidLaunchTemplateName.AlreadyExistsException</Code>"
      "<Message>Launch template name already in use.</Message></Error></Errors><RequestID>1</RequestID></Response>",
      TR_AWS_REFUSED, "InvalidLaunchTemplateName.AlreadyExistsException", "already in use");
  refusal_is(400, NULL,
             "{\"__type\":\"com.amazonaws.ecs#ClusterNotFoundException\",\"message\":\"Cluster not found.\"}",
             TR_AWS_REFUSED, "ClusterNotFoundException", "Cluster not found.");
  refusal_is(429, "TooManyRequestsException:http://internal.amazon.com/", "{\"Message\":\"Rate Exceeded.\"}",
             TR_AWS_THROTTLED, "TooManyRequestsException", "Rate Exceeded.");
  refusal_is(403, "AccessDeniedException", "{\"Message\":\"not authorized\"}", TR_AWS_DENIED, "AccessDeniedException",
             "not authorized");
  refusal_is(403, NULL, "{\"__type\":\"UnrecognizedClientException\",\"message\":\"invalid token\"}", TR_AWS_EXPIRED,
             "UnrecognizedClientException", "invalid token");
  refusal_is(403, NULL, "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>", TR_AWS_EXPIRED,
             "ExpiredToken", "no reason given");
  refusal_is(500, NULL, "", TR_AWS_FAILED, "HTTP500", "(500)");
  refusal_is(503, NULL, "<html>busy", TR_AWS_FAILED, "HTTP503", "(503)");
  refusal_is(400, NULL, "{]", TR_AWS_REFUSED, "HTTP400", "(400)");
  refusal_is(403, NULL, "{\"__type\":7,\"message\":\"line\\nfeed\"}", TR_AWS_REFUSED, "HTTP403", "line feed");
}

static void query_bodies(void **state) {
  struct tr_text t = {0};
  (void)state;
  tr_text_add_str(&t, "old");
  tr_aws_query_begin(&t, "AssumeRole", "2011-06-15");
  tr_aws_query_add(&t, "RoleArn", "arn:aws:iam::123456789012:role/a b&c=d");
  tr_aws_query_add_int(&t, "DurationSeconds", 900);
  assert_string_equal(tr_text_str(&t), "Action=AssumeRole&Version=2011-06-15"
                                       "&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa%20b%26c%3Dd"
                                       "&DurationSeconds=900");
  tr_text_free(&t);
}

static void count_done(void *arg, struct tr_aws_answer *answer) {
  int *n = arg;
  *n += 1 + 10 * (answer->result == TR_AWS_CANCELLED);
}

/* Whoever waits for an answer when the client ends gets one. */
static void ends_with_its_client(void **state) {
  struct tr_http *http;
  struct tr_aws_client *c;
  struct tr_error err;
  const struct tr_aws_keys keys = {"AK", "SK", NULL, 0};
  const struct tr_aws_call call = {
      .service = "ecs", .action = "RunTask", .region = "eu-west-1", .keys = &keys, .body = "{}", .body_bytes = 2};
  int n = 0;
  (void)state;
  assert_int_equal(tr_http_new(NULL, &http, &err), TR_OK);
  assert_int_equal(tr_aws_client_new(http, "http://127.0.0.1:1//", &c, &err), TR_OK);
  for (int i = 0; i < 3; i++) tr_aws_call_start(c, &call, count_done, &n);
  tr_http_free(http);
  assert_int_equal(n % 10, 3);
  assert_int_equal(tr_aws_client_skew(c), 0);
  tr_aws_client_free(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(refusals), cmocka_unit_test(query_bodies),
                                     cmocka_unit_test(ends_with_its_client)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
