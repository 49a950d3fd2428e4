package ingestd

import "net/http"

// Host lets guest answer the paths that it owns on the edge's address, where
// one address serves all. It is called before Run. The guest must serve until
// the edge has stopped, and bounds its own requests.
func (i *Ingest) Host(owns func(path string) bool, guest http.Handler) {
	edge := i.http.Handler
	i.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if owns(r.URL.Path) {
			guest.ServeHTTP(w, r)
			return
		}
		edge.ServeHTTP(w, r)
	})
}
