package main

import (
	"bufio"
	"io"
	"net/http"
)

// readStatus reads the head of an answer from a connection that an attacker
// wrote to by hand; 0 is no answer.
func readStatus(from io.Reader) (status int, retryAfter bool) {
	response, err := http.ReadResponse(bufio.NewReader(from), nil)
	if err != nil {
		return 0, false
	}
	_ = response.Body.Close()
	return response.StatusCode, response.Header.Get("Retry-After") != ""
}
