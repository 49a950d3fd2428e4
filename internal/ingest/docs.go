package ingest

import (
	"net/http"
	"strings"

	"github.com/nexero-vr/nexero/internal/gate"
)

// getDocument serves the OpenAPI document.
func (s *Server) getDocument(x *exchange) error {
	if len(s.deps.Document) == 0 {
		return gate.Refused(gate.NotFound, "This server was started without its API document.")
	}
	x.Write(http.StatusOK, s.deps.Document)
	return nil
}

// pagePolicy lets the page bring its own style and nothing else: no script, and
// nothing from another address.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// getDocs serves the document as a page.
func (s *Server) getDocs(x *exchange) error {
	if len(s.deps.Page) == 0 {
		return gate.Refused(gate.NotFound, "This server was started without its API document.")
	}
	x.Response.Header().Set("Content-Security-Policy", pagePolicy)
	x.WriteAs("text/html; charset=utf-8", http.StatusOK, s.deps.Page)
	return nil
}

// Routes are the methods and paths that the server takes, such as
// "GET /api/v1/unreal/session/{id}/status"; those of OPTIONS, and HEAD where
// there is GET, are left out.
func (s *Server) Routes() []string {
	var all []string
	for _, r := range s.table() {
		method, _, _ := strings.Cut(r.methods, ", ")
		for _, path := range r.paths {
			all = append(all, method+" "+strings.ReplaceAll(path, ":"+sessionParam, "{"+sessionParam+"}"))
		}
	}
	return all
}
