/* See xml.h. */
#include "net/xml.h"
#include "base/text.h"
#include <expat.h>
#include <limits.h>
#include <string.h>
#include <time.h>

enum { DEPTH = 16, NAME = 64 };

struct walk {
  XML_Parser parser;
  tr_xml_visit visit;
  void *arg;
  struct tr_error *err;
  enum tr_status status;
  char names[DEPTH + 1][NAME]; /* names[0] is "", the parent of the root */
  int depth;
  struct tr_text text;
  bool refused;
};

static void stop(struct walk *w) { XML_StopParser(w->parser, XML_FALSE); }

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes) {
  struct walk *w = arg;
  (void)attributes;
  if (w->depth == DEPTH) {
    w->refused = true;
    stop(w);
    return;
  }
  const char *colon = strchr(name, ':'); /* a name space says nothing to us */
  strncpy(w->names[++w->depth], colon ? colon + 1 : name, NAME - 1);
  w->names[w->depth][NAME - 1] = 0;
  tr_text_clear(&w->text);
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int n) {
  struct walk *w = arg;
  tr_text_add(&w->text, text, (size_t)n);
}

static void XMLCALL on_end(void *arg, const XML_Char *name) {
  struct walk *w = arg;
  (void)name;
  w->status = w->visit(w->arg, w->names[w->depth - 1], w->names[w->depth], tr_text_str(&w->text), w->err);
  w->depth--;
  tr_text_clear(&w->text);
  if (w->status != TR_OK) stop(w);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public,
                               int internal) {
  struct walk *w = arg;
  (void)name, (void)system, (void)public, (void)internal;
  w->refused = true;
  stop(w);
}

enum tr_status tr_xml_walk(const void *data, size_t bytes, tr_xml_visit visit, void *arg, struct tr_error *err) {
  struct walk w = {.visit = visit, .arg = arg, .err = err};
  w.parser = XML_ParserCreate(NULL);
  if (!w.parser) return tr_fail_memory(err, 0);
  XML_SetUserData(w.parser, &w);
  XML_SetElementHandler(w.parser, on_start, on_end);
  XML_SetCharacterDataHandler(w.parser, on_text);
  XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
  bool good = bytes <= INT_MAX && XML_Parse(w.parser, data, (int)bytes, 1) == XML_STATUS_OK && !w.refused;
  enum tr_status st = w.status;
  if (st == TR_OK) st = tr_text_check(&w.text, err);
  if (st == TR_OK && !good) st = tr_fail(err, TR_EXC_OS, "the reply is no XML that a service should send");
  tr_text_free(&w.text);
  XML_ParserFree(w.parser);
  return st;
}

struct find {
  const char *name;
  char *out;
  size_t size;
  bool found;
};

static enum tr_status find_element(void *arg, const char *parent, const char *name, const char *text,
                                   struct tr_error *err) {
  struct find *f = arg;
  (void)parent, (void)err;
  if (f->found || strcmp(name, f->name) != 0) return TR_OK;
  f->found = true;
  size_t n = strlen(text);
  if (n >= f->size) n = f->size - 1;
  memcpy(f->out, text, n);
  f->out[n] = 0;
  return TR_OK;
}

bool tr_xml_find(const void *data, size_t bytes, const char *name, char *out, size_t size) {
  struct find f = {name, out, size, false};
  out[0] = 0;
  return bytes && tr_xml_walk(data, bytes, find_element, &f, NULL) == TR_OK && f.found;
}

int64_t tr_time_parse(const char *text) {
  struct tm tm = {0};
  const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
  int64_t ns = 0, unit = 100000000;
  if (rest && *rest == '.')
    for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10) ns += (*rest - '0') * unit;
  else if (!rest && !strptime(text, "%a, %d %b %Y %H:%M:%S", &tm)) return 0;
  return (int64_t)timegm(&tm) * 1000000000 + ns;
}
