package ingest

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
)

// The answers to posts are appended by hand: they are on the path of every
// event, and their shape is a few fixed members.

// object appends a JSON object to buf member by member.
type object struct{ buf []byte }

func newObject(buf []byte) object { return object{append(buf, '{')} }

func (o *object) name(name string) {
	if o.buf[len(o.buf)-1] != '{' {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(o.buf, '"')
	o.buf = append(o.buf, name...)
	o.buf = append(o.buf, '"', ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.buf = appendQuoted(o.buf, value)
}

func (o *object) number(name string, value int64) {
	o.name(name)
	o.buf = strconv.AppendInt(o.buf, value, 10)
}

func (o *object) null(name string) {
	o.name(name)
	o.buf = append(o.buf, "null"...)
}

func (o *object) flag(name string, value bool) {
	o.name(name)
	o.buf = strconv.AppendBool(o.buf, value)
}

// percent appends part of whole as a number from 0 to 100 that always has a
// decimal point: typed clients read it as a float.
func (o *object) percent(name string, part, whole int) {
	o.name(name)
	share := 0.0
	if whole > 0 {
		share = 100 * float64(part) / float64(whole)
	}
	if part < whole {
		share = min(share, 99.9) // rounding must not claim that everything was accepted
	}
	o.buf = strconv.AppendFloat(o.buf, share, 'f', 1, 64)
}

// timestamp appends at as the old service wrote times: ISO 8601 with
// microseconds and a numeric offset.
func (o *object) timestamp(name string, at time.Time) {
	o.name(name)
	o.buf = append(o.buf, '"')
	o.buf = at.UTC().AppendFormat(o.buf, "2006-01-02T15:04:05.000000+00:00")
	o.buf = append(o.buf, '"')
}

func (o *object) uuid(name string, id event.UUID) { o.text(name, id.String()) }

// rejections appends the first most of list.
func (o *object) rejections(name string, list []event.Rejection, most int) {
	o.name(name)
	o.buf = append(o.buf, '[')
	for i := range list[:min(most, len(list))] {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		entry := newObject(o.buf)
		entry.number("index", int64(list[i].Index))
		entry.text("code", string(list[i].Code))
		entry.text("field", list[i].Field)
		entry.text("detail", list[i].Detail)
		entry.flag("retryable", list[i].Code.Retryable())
		o.buf = entry.end()
	}
	o.buf = append(o.buf, ']')
}

func (o *object) end() []byte { return append(o.buf, '}') }

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}
