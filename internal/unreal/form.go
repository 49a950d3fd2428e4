package unreal

import (
	"encoding/json"
	"net/url"
	"strings"
)

// unformed brings a session post that is no JSON into the form of one. VaRest's
// default moves all fields into the query string and leaves the body empty; its
// other mode sends them as a form. ok is false when there is nothing at all.
//
// The values become JSON strings, which every member of a session post may be.
func unformed(req *Request) (text string, ok bool) {
	body := strings.Trim(req.Body, " \t\r\n\x00")
	fields := body
	switch {
	case body == "":
		fields = req.Query
	case !strings.Contains(body, "=") || strings.ContainsAny(body, "{}[]\"\n"):
		// JSON, or something that the reader of JSON complains about best.
		return req.Body, true
	}
	values, err := url.ParseQuery(fields)
	if err != nil {
		return req.Body, true
	}
	if len(values) == 0 {
		return "", false
	}
	members := make(map[string]string, len(values))
	for name, all := range values {
		// The last wins, as with a member that occurs twice in JSON.
		members[name] = all[len(all)-1]
	}
	encoded, err := json.Marshal(members)
	if err != nil { // a map of strings always encodes
		return req.Body, true
	}
	return string(encoded), true
}
