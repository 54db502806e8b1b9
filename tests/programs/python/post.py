"""POSTs once by libcurl and prints the answer: post.py URL AUTHORITY BODY [HEADER ...]"""

import sys

import pycurl

url, authority, body, *headers = sys.argv[1:]
curl = pycurl.Curl()
curl.setopt(pycurl.URL, url)
curl.setopt(pycurl.CAINFO, authority)
curl.setopt(pycurl.HTTPHEADER, headers)
curl.setopt(pycurl.POSTFIELDS, body)
curl.perform()
curl.close()
