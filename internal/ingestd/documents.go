package ingestd

import "github.com/nexero-vr/nexero/api"

// documents are the API document for programs and for people.
func documents() (document, page []byte, err error) {
	if document, err = api.Document(); err != nil {
		return nil, nil, err
	}
	page, err = api.Page()
	return document, page, err
}
