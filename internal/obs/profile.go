package obs

import (
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"
)

// longestProfile bounds a profile, an execution trace or a difference of two
// profiles, each of which costs the process something while it is taken.
const longestProfile = time.Minute

const profilePath = "/debug/pprof/"

// profiles serves what `go tool pprof` and `go tool trace` ask for, one request
// at a time and at most longestProfile each.
//
// net/http/pprof also registers itself on http.DefaultServeMux, which nothing
// serves. Its command line is left out: passwords stand in flags.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+profilePath, pprof.Index)
	mux.HandleFunc("GET "+profilePath+"profile", pprof.Profile)
	mux.HandleFunc("GET "+profilePath+"trace", pprof.Trace)
	// The handlers push the server's write deadline back by what they take, and
	// end with their client.
	return bounded(mux)
}

// bounded passes on what may be asked of inner: the list at any time, else one
// request at a time, of longestProfile at most.
func bounded(inner http.Handler) http.Handler {
	busy := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Whoever asks for longer is told, or would wonder about a short profile.
		if text := r.FormValue("seconds"); text != "" {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil || !(seconds > 0 && seconds <= longestProfile.Seconds()) {
				http.Error(w, "seconds must be above 0 and at most "+strconv.Itoa(int(longestProfile.Seconds())), http.StatusBadRequest)
				return
			}
		}
		if strings.TrimPrefix(r.URL.Path, profilePath) != "" {
			select {
			case busy <- struct{}{}:
				defer func() { <-busy }()
			default:
				http.Error(w, "another profile is being taken", http.StatusServiceUnavailable)
				return
			}
		}
		inner.ServeHTTP(w, r)
	})
}
